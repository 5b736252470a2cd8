"""RefactorBench, from a tree made here that looks like it; and from a real checkout where one is named."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.tasks.importers.conftest import Solved
from workbench import runner
from workbench.errors import TaskError, UsageError
from workbench.models.scripted import Scripted
from workbench.storage.store import Store
from workbench.tasks import find, load_all, suites
from workbench.tasks.folder import tree_hash

REAL = "WORKBENCH_TEST_REFACTORBENCH"
TEST = """
import ast
import os
import unittest


class TestNames(unittest.TestCase):
    def setUp(self):
        self.assertTrue(os.path.exists("../src/shop/prices.py"))

    def names(self, path):
        with open(path) as file:
            return {node.name for node in ast.walk(ast.parse(file.read())) if isinstance(node, ast.FunctionDef)}

    def test_new_name_is_there(self):
        self.assertIn("total_of", self.names("../src/shop/prices.py"))

    def test_old_name_is_gone(self):
        self.assertNotIn("total", self.names("../src/shop/prices.py"))

    def test_passes_untouched(self):
        self.assertIn("tax", self.names("../src/shop/prices.py"))
"""
PRICES = "def total(prices):\n    return sum(prices)\n\n\ndef tax(price):\n    return price\n"
RENAME = """
import pathlib
import re
for path in pathlib.Path(".").rglob("*"):
    try:
        text = path.read_text()
    except (UnicodeDecodeError, OSError):
        continue
    path.write_text(re.sub(r"\\b{old}\\b", "{new}", text))
"""


def write(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """One task of one repository, with three instructions."""
    root = tmp_path / "checkout"
    mapping = (
        'file_mapping = {{"../tests/shop_refactor/rename-total-test.py": "../problems/{0}_problems/shop_refactor/rename-total-task.txt"}}'
    )
    for level in ("base", "lazy", "descriptive"):
        write(root, {f"scripts/{level}_mapping.py": mapping.format(level)})
        write(root, {f"problems/{level}_problems/shop_refactor/rename-total-task.txt": f"Rename total to total_of ({level})."})
    write(
        root,
        {
            "tests/shop_refactor/rename-total-test.py": TEST,
            "repositories/shop_refactor/src/shop/__init__.py": "from .prices import total\n",
            "repositories/shop_refactor/src/shop/prices.py": PRICES,
            "repositories/shop_refactor/README": "A shop.\n",
        },
    )
    (root / "repositories/shop_refactor/latest").symlink_to("nowhere")
    return root


def test_what_is_found_is_told_and_remembered_and_nothing_is_written_there(checkout: Path) -> None:
    before = tree_hash(checkout)
    report = suites.import_("refactorbench", checkout)
    assert (len(report.found), report.variants, report.runnable, report.unavailable, report.record.commit) == (1, 3, 1, {}, None)
    (found,) = (folder for folder in load_all() if folder.task.suite == "refactorbench")
    assert found.task.id == "refactorbench/shop-rename-total"
    assert found.instruction({"level": "lazy"}).startswith("Rename total to total_of (lazy).")
    assert tree_hash(checkout) == before


def test_the_commit_is_recorded_and_a_change_changes_the_task(checkout: Path) -> None:
    def git(*arguments: str) -> str:
        who = ["-c", "user.name=a", "-c", "user.email=a@b"]
        return subprocess.run(["git", *who, "-C", str(checkout), *arguments], check=True, capture_output=True, text=True).stdout.strip()

    loose = suites.import_("refactorbench", checkout).found[0]
    git("init", "-q")
    git("add", "-A")
    git("commit", "-qm", "all")
    report = suites.import_("refactorbench", checkout)
    assert report.record.commit == git("rev-parse", "HEAD")
    (kept,) = report.found
    hashes = [loose.hash(), kept.hash()]
    (checkout / "repositories/shop_refactor/README").write_text("Another shop.\n")
    changed = find(kept.task.id)
    hashes.append(changed.hash())
    assert changed.grader_hash("e") == kept.grader_hash("e")
    (checkout / "tests/shop_refactor/rename-total-test.py").write_text(TEST + "\n")
    assert find(kept.task.id).grader_hash("e") != kept.grader_hash("e")
    # whether it lies in a clone changes nothing about a task
    assert hashes[0] == hashes[1] != hashes[2]


@pytest.mark.walls
def test_it_is_graded_by_upstreams_tests_and_credit_begins_at_what_passes_untouched(checkout: Path, store_path: Path) -> None:
    suites.import_("refactorbench", checkout)
    before = tree_hash(checkout)
    scores = {}
    for name, cells in {
        "nothing": [],
        "half": ["p='src/shop/prices.py'; open(p, 'a').write('total_of = 1\\ndef total_of(): pass\\n')"],
        "all": [RENAME.format(old="total", new="total_of")],
        "forgetful": ["p='src/shop/prices.py'; text=open(p).read(); open(p, 'w').write(text.replace('total', 'total_of'))"],
        "emptied": ["import pathlib\nfor path in pathlib.Path('src').rglob('*.py'): path.unlink()\nopen('src/left', 'w').close()"],
        "deleted": [
            "import os\nfor name in ('__init__', 'prices'): os.unlink(f'src/shop/{name}.py')\nopen('src/shop/left.py', 'w').close()"
        ],
        "removed": ["import shutil; shutil.rmtree('src'); open('README', 'w').close()"],
    }.items():
        result = runner.run("refactorbench/shop-rename-total", model=Scripted(name, cells), store=store_path)
        assert result.error is None
        scores[name] = {metric.metric: (metric.value, metric.normalised) for metric in result.metrics}, result.success, result.invalid
    whole, third = {"names_resolve": (1, 1)}, pytest.approx(1 / 3)
    assert scores["nothing"] == ({"solved": (0, 0), "checks": (third, 0), **whole}, False, None)
    assert scores["half"] == ({"solved": (0, 0), "checks": (pytest.approx(2 / 3), pytest.approx(0.5)), **whole}, False, None)
    assert scores["all"] == ({"solved": (1, 1), "checks": (1, 1), **whole}, True, None)
    # upstream's tests see the file that is named, and not that the package cannot be imported any more
    assert scores["forgetful"] == ({"solved": (1, 1), "checks": (1, 1), "names_resolve": (0.5, 0.5)}, True, None)
    assert scores["emptied"][0]["names_resolve"] == (0, 0)
    # a new module stands for one of the two, at the most
    assert scores["deleted"][0]["names_resolve"] == (0.5, 0.5)
    assert scores["removed"][1] is False and "no folder left" in (scores["removed"][2] or "")
    assert tree_hash(checkout) == before


@pytest.mark.parametrize(
    ("path", "text", "said"),
    [
        ("scripts/base_mapping.py", "file_mapping = open('x')", "does not hold the one dictionary file_mapping"),
        ("scripts/base_mapping.py", "other = {}", "does not hold the one dictionary file_mapping"),
        ("scripts/base_mapping.py", "file_mapping = {'../../etc/a/b/c': '../x/y/z/t'}", "does not hold the one dictionary file_mapping"),
        ("scripts/base_mapping.py", "file_mapping = {'../tests/shop_refactor/x.py': '../problems/b/c/no.txt'}", "no.txt does not exist"),
    ],
)
def test_a_checkout_that_is_none_is_named_and_not_remembered(checkout: Path, path: str, text: str, said: str) -> None:
    (checkout / path).write_text(text)
    with pytest.raises(TaskError, match=said):
        suites.import_("refactorbench", checkout)
    assert suites.recorded() == {}


def test_an_unknown_suite_a_missing_folder_and_a_checkout_that_is_gone_say_so(checkout: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no suite is called 'refactor'"):
        suites.import_("refactor", checkout)
    with pytest.raises(UsageError, match="does not exist"):
        suites.import_("refactorbench", tmp_path / "nowhere")
    with pytest.raises(TaskError, match="refactorbench is not imported here"):
        find("refactorbench/shop-rename-total")
    suites.import_("refactorbench", checkout)
    checkout.rename(tmp_path / "moved")
    with pytest.raises(TaskError, match="the checkout of refactorbench, is gone"):
        find("refactorbench/shop-rename-total")
    Path(os.environ["WORKBENCH_SUITES"]).write_text("{")
    with pytest.warns(UserWarning, match="is malformed"):
        load_all()


SOLVED = {
    "flask-render-template-str": ("render_template_string", "render_template_str"),
    "requests-super-to-complex-len": ("super_len", "complex_len"),
    "requests-rename-lookup-dict-dict-lookup": ("LookupDict", "DictLookup"),
    "tornado-rename-http1connection": ("HTTP1Connection", "HTTP1xConnection"),
}


@pytest.mark.walls
@pytest.mark.skipif(REAL not in os.environ, reason=f"NOT RUN on a real checkout of RefactorBench: name one in {REAL}")
async def test_a_real_checkout(solved: Solved, store_path: Path) -> None:
    report = suites.import_("refactorbench", Path(os.environ[REAL]))
    assert (len(report.found), report.variants) == (100, 300)
    assert await solved((found.task.id, "nop") for found in report.found) == [False] * 100
    said = Store(store_path).rows("SELECT DISTINCT value FROM scores WHERE metric = 'names_resolve'")
    assert [row["value"] for row in said] == [1]
    renamed = {name: Scripted("rename", [RENAME.format(old=re.escape(old), new=new)]) for name, (old, new) in SOLVED.items()}
    assert await solved((f"refactorbench/{name}", model) for name, model in renamed.items()) == [True] * len(SOLVED)
