"""ScienceAgentBench: 102 tasks from published research; each asks for a result file, which a script of its own evaluates.

The benchmark is not in its repository: its authors hand out the annotation sheet and a protected archive, which the user
unpacks into ``benchmark/``. Results that are figures are shown to a judge, with the prompt that is in the repository.
"""

from __future__ import annotations

import ast
import json
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from workbench import syntax
from workbench.errors import TaskError
from workbench.tasks.checkout import Checkout
from workbench.tasks.imported import Imported, Piece, all_or_nothing, described
from workbench.tasks.importers.scienceagentbench_packages import REPOSITORIES, packages
from workbench.tasks.importers.scienceagentbench_sheet import Row, rows
from workbench.tasks.spec import Task

TITLE = "ScienceAgentBench"
SOURCE = "Chen et al. (2025), arXiv 2410.05080; github.com/OSU-NLP-Group/ScienceAgentBench"

COUNT = 102
_GRADER = Path(__file__).parent / "graders" / "scienceagentbench.py"
_LONGEST = 200
"""Of a path in an evaluation; longer strings are prose."""
_JUDGE = "gpt4_visual_judge"
_NO_SHEET = "the annotation sheet: save that of huggingface.co/datasets/osunlp/ScienceAgentBench, CSV or parquet, in benchmark/"
_NO_FILES = "unpack the archive that upstream's README links to into benchmark/"

# upstream's programs are for the command line
_RUN = """
import subprocess
import sys

done = subprocess.run([sys.executable, "program.py"], capture_output=True, text=True)
print(done.stdout[-2000:], done.stderr[-2000:])
"""


def tasks(checkout: Checkout) -> list[Imported]:
    """Return the tasks of the annotation sheet; where it is not there, 102 of which no more than the number is known.

    Raises
    ------
    TaskError
        If the checkout is not one of ScienceAgentBench, or the sheet is malformed.
    """
    home = checkout.root if (checkout.root / "eval_programs").is_dir() else checkout.find("benchmark")
    found = rows(checkout, home)
    if found is None:
        return [_unknown(checkout, number) for number in range(1, COUNT + 1)]
    tasks = []
    for row in found:
        with checkout.reading(f"scienceagentbench/{row.id}"):
            tasks.append(_task(checkout, home, row))
    return tasks


def _unknown(checkout: Checkout, number: int) -> Imported:
    summary = f"Task {number} of {COUNT}."
    said = {"knowledge=without": summary, "knowledge=with": summary}
    return Imported(_described(str(number), summary, ["files"], _NO_SHEET), checkout, said, [])


def _task(checkout: Checkout, home: Path, row: Row) -> Imported:
    script = home / "eval_programs" / row.script
    gold = home / "gold_programs" / row.program
    datasets = [home / "datasets" / name for name in row.datasets]
    instructions = {"knowledge=without": _instruction(row), "knowledge=with": f"{_instruction(row)}\n\n{row.knowledge}"}
    if missing := [path.name for path in (script, gold, *datasets) if not path.exists()]:
        task = _described(row.id, row.text, ["files"], f"{', '.join(missing)}; {_NO_FILES}")
        return Imported(task, checkout, instructions, [])
    evaluation, program = _parsed(checkout, script), _parsed(checkout, gold)
    needs, why = [], []
    modules = _modules(evaluation) | _modules(program)
    judged, prompt = _JUDGE in modules, checkout.root / f"{_JUDGE}.py"
    if judged and not prompt.exists():
        needs.append("files")
        why.append(f"{prompt.name}, which has the judge's prompt: import the repository with the archive unpacked in it")
    if unpublished := sorted(modules & REPOSITORIES):
        needs.append("network")
        why.append(f"{', '.join(unpublished)} needs packages that are in no package index")
    task = _described(row.id, row.text, needs, "; ".join(why), packages(modules - {_JUDGE}), judged=judged)
    pieces = [
        *(Piece(f"workspace/benchmark/datasets/{path.name}", path) for path in datasets),
        # upstream's programs expect the folder they write to
        Piece("workspace/pred_results/.keep", ""),
        Piece("hidden/task.json", json.dumps({"script": row.script, "output": row.output})),
        Piece("hidden/grader.py", _GRADER),
        *([Piece(f"hidden/{prompt.name}", prompt)] if judged and prompt.exists() else []),
        *(Piece(f"hidden/benchmark/{path.relative_to(home).as_posix()}", path) for path in _used(home, script, evaluation, datasets)),
    ]
    return Imported(task, checkout, instructions, pieces, cells=_cells(checkout.text(str(gold.relative_to(checkout.root)))))


def _described(name: str, text: str, needs: Sequence[str], why: str, installed: Sequence[str] = (), *, judged: bool = False) -> Task:
    return described(
        f"scienceagentbench/{name}",
        family="data-science",
        licence="CC-BY-4.0",
        source=SOURCE,
        summary=text,
        prompt={"axes": {"knowledge": ["without", "with"]}},
        interaction={"max_steps": 50, "max_seconds": 3600},
        prepare={"needs": needs, "why": why},
        # upstream gives a program 900 seconds
        environment={"name": "python-min", "packages": installed, "memory": "4G", "cell_seconds": 900},
        submission={"kind": "tree", "path": "pred_results", "max_bytes": 512 * 2**20},
        grader={"timeout": 900},
        metric=[all_or_nothing("success", by="judge" if judged else "program")],
    )


def _instruction(row: Row) -> str:
    return (
        f"{row.text.strip()}\n\n"
        f"The data are in /workspace/benchmark/datasets; /workspace is your working directory. The folder holds:\n\n"
        f"```\n{row.tree.strip()}\n```\n\n{row.preview.strip()}\n\n"
        f"What is graded is /workspace/{row.output}."
    )


def _parsed(checkout: Checkout, path: Path) -> ast.Module:
    try:
        return syntax.parse(checkout.text(str(path.relative_to(checkout.root))))
    except SyntaxError as error:
        raise TaskError(f"{path} is not Python: {error}", hint=_NO_FILES) from None


def _modules(tree: ast.Module) -> set[str]:
    """Return what a program imports, by the first part of its name."""
    return {name.split(".")[0] for name in syntax.imported(tree)}


def _used(home: Path, script: Path, tree: ast.Module, datasets: list[Path]) -> list[Path]:
    """Return what an evaluation reads of the benchmark, by the paths it names; all of a kind where it puts them together."""
    found = {script}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and str(node.module).startswith("benchmark.eval_programs."):
            found.add(home.joinpath(*str(node.module).split(".")[1:]).with_suffix(".py"))
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and "benchmark/" in node.value and len(node.value) < _LONGEST:
            named = PurePosixPath(node.value[node.value.index("benchmark/") :]).parts[1:]
            if named == ("datasets",):
                found.update(datasets)
            elif ".." not in named and len(named) > 1:
                found.add(home.joinpath(*named))
    there = {path for path in found if path.exists()}
    if not any("gold_results" in path.parts for path in there) and (home / "eval_programs" / "gold_results").is_dir():
        there.add(home / "eval_programs" / "gold_results")
    return sorted(path for path in there if not any(above in there for above in path.parents))


def _cells(program: str) -> list[str]:
    return [f"from pathlib import Path\n\nPath('program.py').write_text({program!r})", _RUN]
