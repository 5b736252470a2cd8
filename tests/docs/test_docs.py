"""The docs say what is there, and what they show works."""

from __future__ import annotations

import ast
import json
import re
import tomllib
import typing
from pathlib import Path

import pytest
import typer

import workbench as wb
from workbench.cli.app import app
from workbench.kernels import environments
from workbench.kernels.definition import Definition, load
from workbench.kernels.limits import Limits
from workbench.messages import Attempt
from workbench.models.base import ModelError
from workbench.notebook.magics import WorkbenchMagics
from workbench.storage.store import Store
from workbench.tasks.spec import Task

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("docs/*.md"), ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md"])
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)

pages = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)


def read(name: str) -> str:
    return (ROOT / "docs" / name).read_text(encoding="utf-8")


def prose(text: str) -> str:
    return BLOCK.sub("", text)


def blocks(page: Path, *languages: str) -> list[str]:
    return [code for language, code in BLOCK.findall(page.read_text(encoding="utf-8")) if language in languages]


def sections(text: str) -> dict[str, str]:
    """Return what is below each heading, up to the next one of any level."""
    parts = re.split(r"^#+ (.+)$", prose(text), flags=re.MULTILINE)
    return {title.replace("`", ""): body for title, body in zip(parts[1::2], parts[2::2], strict=True)}


def table(section: str) -> list[tuple[str, str]]:
    """Return the first two cells of each row whose first cell is code."""
    return re.findall(r"^\| `([^`]+)` \| ([^|]+?) \|", section, flags=re.MULTILINE)


# --- store.md ---


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "fresh.duckdb")


def test_every_column_of_the_store_is_described_with_its_type(store: Store) -> None:
    found: dict[str, list[tuple[str, str]]] = {}
    for row in store.rows(
        "SELECT table_name, column_name, data_type FROM duckdb_columns() WHERE NOT internal ORDER BY table_name, column_index"
    ):
        found.setdefault(row["table_name"], []).append((row["column_name"], row["data_type"]))
    described = sections(read("store.md"))
    assert {name: table(described.get(name, "")) for name in found} == found


SQL = [(page.name, query) for page in PAGES for query in blocks(page, "sql")]


@pytest.mark.parametrize("query", [query for _, query in SQL], ids=[f"{name}-{number}" for number, (name, _) in enumerate(SQL)])
def test_every_query_runs_on_a_fresh_store(query: str, store: Store) -> None:
    store.sql(query)


def test_there_are_queries_to_learn_from() -> None:
    assert len(SQL) >= 8


def unreachable(_messages: object) -> str:
    raise ModelError("nobody is there", attempts=[Attempt(status="connection", seconds=0.1, waited=1.0)])


@pytest.mark.walls
def test_every_query_finds_something_where_there_is_something(store: Store) -> None:
    for model in (unreachable, lambda _: "no code at all", lambda _: "```python\n1 / 0\n```", "oracle"):
        wb.run("refactoring/mistune-rename-escape", model=model, max_steps=10 if model == "oracle" else 1, store=store)
    unsteady = "```python\nimport uuid\nprint(uuid.uuid4())\n```"
    run = wb.run("refactoring/mistune-rename-escape", model=lambda _: unsteady, max_steps=1, store=store)
    wb.branch(run.run_id, 1, model="nop", store=store)
    empty = [query for _, query in SQL if store.sql(query).empty]
    # a task that was not run, and walls that may all stand here
    assert all("diabetes-progression" in query or "missing_walls" in query for query in empty), empty


# --- tasks.md ---


def models() -> dict[str, type]:
    """Return the tables of the task file by the headings they have in the docs."""
    fields = Task.model_fields
    found: dict[str, type] = {"Top level": Task}
    for name in ("prompt", "workspace", "interaction", "prepare", "environment", "grader"):
        found[f"[{name}]"] = typing.cast(type, fields[name].annotation)
    found["[submission]"] = typing.get_args(fields["submission"].annotation)[0]
    metric = typing.get_args(fields["metrics"].annotation)[0]
    found["[[metric]]"] = metric
    found["[metric.baseline]"] = typing.get_args(metric.model_fields["baseline"].annotation)[0]
    found["[metric.success]"] = typing.get_args(metric.model_fields["success"].annotation)[0]
    found["[[workspace.copy]]"] = typing.get_args(found["[workspace]"].model_fields["copy_"].annotation)[0]
    return found


@pytest.mark.parametrize(("heading", "model"), models().items(), ids=list(models()))
def test_every_field_of_the_task_file_is_described(heading: str, model: type) -> None:
    section = sections(read("tasks.md"))[heading]
    fields = model.model_fields
    assert [name for name, _ in table(section)] == [field.alias or name for name, field in fields.items()]
    values = {str(value) for field in fields.values() for value in literals(field.annotation)}
    assert {value for value in values if value not in section} == set(), "values a field may have"


def literals(annotation: object) -> typing.Iterator[object]:
    if typing.get_origin(annotation) is typing.Literal:
        yield from typing.get_args(annotation)
    else:
        for part in typing.get_args(annotation):
            yield from literals(part)


def write_example(root: Path) -> Path:
    """Write the files of the worked example as the page shows them."""
    folder = root / "data-science" / "messy-dates"
    for name, code in re.findall(r"^`([\w./]+)`:\n\n```\w*\n(.*?)^```$", read("tasks.md"), flags=re.MULTILINE | re.DOTALL):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(code, encoding="utf-8")
    return folder


@pytest.mark.walls
@pytest.mark.parametrize("variant", ["listed", "unlisted"])
def test_the_worked_example_is_a_sound_task(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, store: Store, variant: str) -> None:
    folder = write_example(tmp_path)
    monkeypatch.setenv("WORKBENCH_TASKS", str(tmp_path))
    chosen = {"formats": variant}
    solved = wb.run("data-science/messy-dates", model="oracle", variant=chosen, store=store)
    assert (solved.status, solved.success, solved.score and solved.score.normalised) == ("completed", True, 1.0)
    for model in ("nop", "cheat"):
        result = wb.run("data-science/messy-dates", model=model, variant=chosen, store=store)
        assert (result.status, result.success, result.score and result.score.value) == ("completed", False, 0.25), (result, result.invalid)
    monkeypatch.delenv("WORKBENCH_TASKS")
    assert wb.run(str(folder), model="nop", variant=chosen, store=store).task == "data-science/messy-dates"


# --- environments.md ---


def test_every_field_of_an_environment_is_described() -> None:
    described = sections(read("environments.md"))
    assert [name for name, _ in table(described["environment.toml"])] == list(Definition.model_fields)
    assert [name for name, _ in table(described["[limits]"])] == list(Limits.__dataclass_fields__)


def test_the_environment_of_the_example_can_be_read(tmp_path: Path) -> None:
    (text,) = re.findall(r"^`geo/environment.toml`:\n\n```toml\n(.*?)^```$", read("environments.md"), flags=re.MULTILINE | re.DOTALL)
    (tmp_path / "geo").mkdir()
    (tmp_path / "geo" / "environment.toml").write_text(text)
    definition = load(tmp_path / "geo")
    plumbing = list(environments.find("python-min").packages)
    assert definition.packages[: len(plumbing)] == plumbing


# --- cli.md ---


def commands() -> dict[str, typing.Any]:
    found = {}

    def walk(command: typing.Any, name: str) -> None:
        for part, inner in getattr(command, "commands", {}).items():
            walk(inner, f"{name} {part}")
        if not hasattr(command, "commands"):
            found[name] = command

    walk(typer.main.get_command(app), "workbench")
    return found


@pytest.mark.parametrize(("name", "command"), commands().items(), ids=list(commands()))
def test_every_command_and_option_is_described(name: str, command: typing.Any) -> None:
    options = {option for parameter in command.params for option in parameter.opts if option.startswith("--")} - {"--help"}
    described = {option.split()[0] for option, _ in table(sections(read("cli.md"))[name])}
    assert described == options


@pytest.mark.parametrize(("name", "magic"), [("%%agent", WorkbenchMagics.agent), ("%task", WorkbenchMagics.task)])
def test_every_option_of_the_magics_is_described(name: str, magic: typing.Any) -> None:
    options = {option for action in magic.parser._actions for option in action.option_strings if option.startswith("--")} - {"--help"}
    assert {option.split()[0] for option, _ in table(sections(read("cli.md"))[name])} == options


def test_every_variable_of_the_environment_is_described() -> None:
    used = {name for path in (ROOT / "workbench").rglob("*.py") for name in re.findall(r"\"(WORKBENCH_[A-Z_]+)\"", path.read_text())}
    assert {name for name, _ in table(sections(read("cli.md"))["Environment variables"])} == used


# --- every page ---


@pages
def test_python_compiles(page: Path) -> None:
    for code in blocks(page, "python"):
        if not code.startswith("%"):  # a notebook cell with a magic
            compile(code, page.name, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)


@pages
def test_json_and_toml_can_be_read(page: Path) -> None:
    for text in blocks(page, "json"):
        json.loads(text)
    for text in blocks(page, "toml"):
        tomllib.loads(text)


def anchor(title: str) -> str:
    return re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-")


@pages
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(page.read_text(encoding="utf-8"))):
        if "://" in target:
            continue
        name, _, heading = target.partition("#")
        there = (page.parent / name).resolve() if name else page
        assert there.exists(), target
        if heading:
            assert heading in map(anchor, sections(there.read_text(encoding="utf-8"))), target


@pages
def test_nothing_tells_of_the_machine_it_was_written_on(page: Path) -> None:
    assert not re.search(r"/root\b(?!`)|/work/|process_api", page.read_text(encoding="utf-8"))
