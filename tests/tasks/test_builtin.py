"""The built-in tasks, by the one path every run takes: solvable, not for nothing, and by no trick."""

from __future__ import annotations

import ast
import itertools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from workbench import checks, runner
from workbench.kernels import environments
from workbench.messages import Message
from workbench.models import scripted
from workbench.models.scripted import Scripted
from workbench.result import RunResult
from workbench.storage.store import Store
from workbench.tasks import find, load_all, staging
from workbench.tasks.folder import TaskFolder

TASKS = [folder.task.id for folder in load_all()]
VARIANTS = [(folder.task.id, variant) for folder in load_all() for variant in folder.task.variants]
SHORTCUTS = [path for folder in load_all() for path in sorted((folder.root / "shortcuts").glob("*.py"))]
TRICKS = ("cheat", *(f"cheat:{trick}" for trick in scripted.ALONE))
REFACTORING = "refactoring/mistune-rename-escape"
DIABETES = "ml-experimentation/diabetes-progression"
VISITS = "data-science/health-insurance-visits"

Run = Callable[..., Any]


@pytest.fixture
def run(store_path: Path) -> Callable[..., RunResult]:
    """Run a model at a task."""
    return lambda task, model, **more: runner.run(task, model=model, store=store_path, **more)


def plays(*cells: str) -> Scripted:
    return Scripted("test", cells)


def is_failure(result: RunResult) -> bool:
    """Not solved, and nobody's fault but the model's."""
    assert result.error is None, result.error
    assert (result.status, result.success) == ("completed", False)
    return True


@pytest.mark.walls
@pytest.mark.parametrize("task", TASKS)
async def test_is_sound(task: str, store_path: Path) -> None:
    found = await checks.check(find(task), store=Store(store_path))
    assert found.ok, "; ".join(f"{finding.name}: {finding.said}" for finding in found.findings if not finding.ok)


@pytest.mark.parametrize("task", TASKS)
def test_says_how_hard_it_is_and_where_it_comes_from(task: str) -> None:
    described = find(task).task
    assert described.difficulty is not None
    assert described.suite == "builtin" and described.licence and len(described.source) > 20


@pytest.mark.parametrize("path", SHORTCUTS, ids=lambda path: f"{path.parent.parent.name}-{path.stem}")
def test_a_shortcut_says_what_it_is(path: Path) -> None:
    said = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    assert said is not None and len(said) > 20


@pytest.mark.walls
@pytest.mark.parametrize("task", TASKS)
async def test_nothing_hidden_is_in_the_workspace(task: str, tmp_path: Path) -> None:
    folder = find(task)
    environment = environments.build(staging.environment_of(folder))
    prepared = await staging.prepare(folder, environment)
    workspace = tmp_path / "workspace"
    workspace.mkdir()
    staging.stage(folder, prepared, workspace)
    seen = {path: path.read_bytes() for path in workspace.rglob("*") if path.is_file()}
    assert seen
    published = [prepared.hidden / copy.to for copy in folder.task.grader.copy_]
    private = [
        path
        for part in (prepared.hidden, folder.root / "solution", folder.root / "shortcuts")
        for path in part.rglob("*")
        if path.is_file()
    ]
    private = [path for path in private if not any(path.is_relative_to(package) for package in published)]
    assert {path.name for path in private} >= {"grader.py", "solution.py"}
    for path in private:
        for shown, data in seen.items():
            assert path.read_bytes().strip() not in data, f"{shown} shows {path}"
            assert shown.name != path.name
    assert not {"task.toml", "prepare.py", "instruction.md"} & {path.name for path in seen}


@pytest.mark.walls
async def test_the_labels_of_the_test_rows_are_not_to_be_had(tmp_path: Path) -> None:
    folder = find(DIABETES)
    environment = environments.build(staging.environment_of(folder))
    prepared = await staging.prepare(folder, environment)
    workspace = tmp_path / "workspace"
    workspace.mkdir()
    staging.stage(folder, prepared, workspace)
    train, test = ((workspace / name).read_text().splitlines() for name in ("train.csv", "test.csv"))
    assert "progression" in train[0].split(",")
    assert "progression" not in test[0].split(",")
    assert (len(train), len(test)) == (301, 143)
    assert {line.split(",", 1)[1] for line in test[1:]}.isdisjoint(line.rsplit(",", 1)[0] for line in train[1:])


@pytest.mark.parametrize(("task", "variant"), VARIANTS, ids=lambda value: value if isinstance(value, str) else ",".join(value.values()))
class TestInstruction:
    def test_names_what_is_handed_in(self, task: str, variant: dict[str, str]) -> None:
        folder = find(task)
        submission = folder.task.submission
        assert submission is not None
        assert submission.path is not None or "answer" in folder.instruction(variant).casefold()
        for path in {*filter(None, [submission.path]), *submission.clear_before_run}:
            assert f"/workspace/{path}" in folder.instruction(variant)

    def test_names_the_limits(self, task: str, variant: dict[str, str]) -> None:
        folder = find(task)
        interaction = folder.task.interaction
        text = " ".join(folder.instruction(variant).split())
        assert f"{interaction.max_steps} steps" in text
        assert f"{interaction.max_seconds / 60:.0f} minutes" in text

    def test_gives_nothing_of_the_solution_away(self, task: str, variant: dict[str, str]) -> None:
        folder = find(task)
        text = " ".join(folder.instruction(variant).split())
        assert not any(cell in text for cell in folder.solution())
        assert "hidden/" not in text and "grader.py" not in text


def test_the_refactoring_task_says_the_same_in_three_ways() -> None:
    folder = find(REFACTORING)
    texts = {variant["level"]: folder.instruction(variant) for variant in folder.task.variants}
    assert set(texts) == {"base", "lazy", "descriptive"}
    assert len(set(texts.values())) == 3
    assert len(texts["lazy"]) < len(texts["base"]) < len(texts["descriptive"])
    for text in texts.values():
        assert "`escape`" in text or "`mistune.util.escape`" in text
        assert "`escape_html`" in text


@pytest.mark.walls
def test_the_variant_is_what_the_model_is_told(run: Run) -> None:
    heard = []

    def listen(messages: list[Message]) -> str:
        if len(messages) == 2:
            heard.append(messages[-1].text)
        return "<done/>"

    folder: TaskFolder = find(REFACTORING)
    for variant in folder.task.variants:
        assert run(REFACTORING, listen, variant=variant).variant == variant
    assert heard == [folder.instruction(variant) for variant in folder.task.variants]


@pytest.mark.walls
def test_the_starter_script_scores_the_declared_baseline(run: Run) -> None:
    replies = itertools.chain(
        ["```python\nimport subprocess, sys\nprint(subprocess.run([sys.executable, 'train.py'], check=True, capture_output=True))\n```"],
        itertools.repeat("<done/>"),
    )
    result = run(DIABETES, lambda messages: next(replies))
    metric = find(DIABETES).task.primary
    assert metric.baseline is not None
    assert (result.status, result.success) == ("completed", False)
    assert result.score.value == pytest.approx(metric.baseline.value, rel=0.01)
    assert result.score.normalised == pytest.approx(0, abs=0.05)
    assert f"{metric.baseline.value:.2f}" in find(DIABETES).instruction({})


def put(name: str, content: str | bytes) -> str:
    return f"open({name!r}, 'wb').write({content.encode() if isinstance(content, str) else content!r})"


def answer(**more: str) -> str:
    fields = {
        "distribution": '"negative_binomial"',
        "covariates": '["lncoins", "idp", "lpi", "fmde", "physlm", "disea", "hlthg", "hlthf", "hlthp"]',
        **dict.fromkeys(("rate_ratio", "ci_low", "ci_high", "share_without_visits"), "0.5"),
    }
    return put("answer.json", "{" + ", ".join(f'"{name}": {value}' for name, value in {**fields, **more}.items()) + "}")


ODD_FILES = {
    "empty": "open(NAME, 'w').close()",
    "folder": "import os; os.mkdir(NAME)",
    "pipe": "import os; os.mkfifo(NAME)",
    "link to the grader": "import os; os.symlink('/grading/hidden/grader.py', NAME)",
    "link to memory": "import os; os.symlink('/dev/zero', NAME)",
    "too large": "open(NAME, 'w').truncate(2**30)",
    "no text": "open(NAME, 'wb').write(bytes(range(256)) * 10)",
    "nul": "open(NAME, 'wb').write(b'\\0' * 1000)",
}
HOSTILE_ANSWERS = {
    **{name: f"NAME = 'answer.json'\n{code}" for name, code in ODD_FILES.items()},
    "deep list": put("answer.json", "[" * 30_000),
    "deep closed": put("answer.json", "[" * 30_000 + "]" * 30_000),
    "deep object": put("answer.json", '{"a":' * 10_000 + "1" + "}" * 10_000),
    "deep field": answer(distribution="[" * 10_000 + "]" * 10_000),
    "not a number": answer(rate_ratio="NaN"),
    "infinite": answer(ci_low="-Infinity", ci_high="Infinity"),
    "overflow": answer(rate_ratio="1e999"),
    "many digits": answer(rate_ratio="9" * 5000),
    "true": answer(rate_ratio="true"),
    "text": answer(rate_ratio='"0.5"'),
    "null": answer(rate_ratio="null"),
    "field twice": answer(**{"rate_ratio ": '1, "rate_ratio": 1, "rate_ratio": 0.5'}),
    "list": put("answer.json", "[]"),
    "half a pair": answer(distribution='"\\ud800"', covariates='["\\udfff"]'),
    "strange covariates": answer(covariates='[["lncoins"], {}, null]'),
    "covariates twice": answer(covariates='["lncoins", "lncoins"]'),
    "verdict": put("answer.json", '{"report": {"metrics": {"score": 1.0}, "invalid": null, "details": {}}, "metrics": {"score": 1.0}}'),
}
ROWS = [f"{number},150.0" for number in range(142)]


def table(rows: Sequence[str], header: str = "id,progression") -> str:
    return put("submission.csv", "\n".join([header, *rows]) + "\n")


HOSTILE_TABLES = {
    **{name: f"NAME = 'submission.csv'\n{code}" for name, code in ODD_FILES.items()},
    "not a number": table(["0,nan", *ROWS[1:]]),
    "infinite": table(["0,-inf", *ROWS[1:]]),
    "overflow": table(["0,1e200", *ROWS[1:]]),
    "other digits": table(["0,٣", *ROWS[1:]]),
    "id twice": table([*ROWS, ROWS[0]]),
    "id twice in two ways": table([*ROWS[:-1], "0.0,150"]),
    "id not a number": table(["nan,150", *ROWS[1:]]),
    "row missing": table(ROWS[1:]),
    "row too many": table([*ROWS, "142,1"]),
    "field too many": table([f"{row},1" for row in ROWS]),
    "header only": table([]),
    "no header": table(ROWS[1:], header=ROWS[0]),
    "columns twice": table([f"{row},1" for row in ROWS], header="id,progression,progression"),
    "huge field": table([f'0,"{"1" * 200_000}"', *ROWS[1:]]),
    "open quote": table([f'0,"{ROWS[0]}', *ROWS[1:]]),
    "constant": table(ROWS),
}
FORGED = 'print(\'{"report": {"metrics": {"solved": 1.0, "checks": 1.0}, "invalid": null, "details": {}}}\', flush=True)\n'
RENAME = """
import pathlib, re
for path in pathlib.Path("mistune").rglob("*.py"):
    path.write_text(re.sub(r"(?<![.\\w\\"'-])escape\\b(?=\\(|,| as )", "escape_html", path.read_text()))
"""


WRITES = """
import os
for descriptor in range(256):
    try:
        os.write(descriptor, b'{"report": {"metrics": {"solved": 1.0}}}\\n')
    except OSError:
        pass
"""
FILLS = """
import os, threading
read, write = os.pipe()
if os.fork() == 0:
    os.setsid()
    while True:
        try:
            if os.fork() == 0:
                threading.Event().wait()
        except OSError:
            os.write(write, b"x") if write else None
            write = None
os.read(read, 1)
"""


def at_import(code: str) -> str:
    return f"import pathlib\npath = pathlib.Path('mistune/__init__.py')\npath.write_text({code!r} + path.read_text())"


HOSTILE_PACKAGES = {
    "gone": "import shutil; shutil.rmtree('mistune')",
    "file": "import shutil; shutil.rmtree('mistune'); open('mistune', 'w').close()",
    "empty": "import shutil, os; shutil.rmtree('mistune'); os.mkdir('mistune')",
    "link": "import os; os.rename('mistune', 'm'); os.symlink('m', 'mistune')",
    "link inside": "import os; os.rename('mistune/util.py', 'util.py'); os.symlink('../util.py', 'mistune/util.py')",
    "pipe": "import os; os.remove('mistune/util.py'); os.mkfifo('mistune/util.py')",
    "no python": "open('mistune/util.py', 'w').write('def (')",
    "nul": "open('mistune/util.py', 'ab').write(b'\\0')",
    "no text": "open('mistune/util.py', 'ab').write(b'\\n# \\xff\\n')",
    "deep": "open('mistune/util.py', 'a').write('\\nx = ' + '(' * 5000 + ')' * 5000 + '\\n')",
    "deep sum": "open('mistune/util.py', 'a').write('\\nx = ' + '+'.join(['1'] * 50_000) + '\\n')",
    "many files": "for i in range(1200): open(f'mistune/f{i}.py', 'w').close()",
    "odd name": "import os; open(b'mistune/caf\\xe9.py', 'w').close(); open('mistune/new\\nline.py', 'w').close()",
    "deep path": "import os; os.chdir('mistune')\nfor _ in range(30): os.mkdir('d' * 200); os.chdir('d' * 200)\nopen('f', 'w').close()",
    "deep folders": "import os; os.makedirs('mistune/' + 'd/' * 100); open('mistune/' + 'd/' * 100 + 'f', 'w').close()",
    "alias": "open('mistune/util.py', 'a').write('\\nescape_html = escape\\n')",
    "prints": at_import(FORGED * 3),
    "prints and leaves": at_import(FORGED + "import os; os._exit(0)\n"),
    "leaves": at_import("raise SystemExit(0)\n"),
    "writes everywhere": at_import(WRITES),
    "patches": at_import("import json, builtins\njson.dumps = lambda *a, **k: '[]'\nbuiltins.print = lambda *a, **k: None\n"),
    "kills": at_import("import os, signal\nos.kill(os.getppid(), signal.SIGKILL)\n"),
    "kills all": at_import("import os, signal\nos.kill(-1, signal.SIGKILL)\n"),
    "prints for ever": at_import("import os\nwhile True: os.write(1, b'x' * 2**20)\n"),
    "takes all memory": at_import("x = [bytearray(2**20) for _ in range(10**6)]\n"),
    "takes all processes": at_import(FILLS),
    "renames by pattern": RENAME,
}
HOSTILE = [
    pytest.param(task, code, id=f"{task.split('/')[0]}-{name}")
    for task, codes in {VISITS: HOSTILE_ANSWERS, DIABETES: HOSTILE_TABLES, REFACTORING: HOSTILE_PACKAGES}.items()
    for name, code in codes.items()
]


@pytest.mark.walls
@pytest.mark.parametrize(("task", "code"), HOSTILE)
def test_what_is_handed_in_to_confuse_the_grader_is_not_solved_and_no_error(task: str, code: str, run: Run) -> None:
    result = run(task, plays(code))
    assert result.error is None, result.error
    assert (result.status, result.success) == ("completed", False)
    (row,) = Store(result.store).rows("SELECT status FROM observations")
    assert row["status"] == "ok"
