"""BLADE: which analysis decisions are justifiable, as multiple-choice items; and whole analyses, which need a judge.

Upstream's package is never imported: loading its annotations runs the annotators' code. Its data are JSON and CSV.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Literal, Self, TypeVar

from pydantic import BaseModel, Field, ValidationError, model_validator

from workbench.errors import TaskError
from workbench.tasks.checkout import Checkout
from workbench.tasks.imported import Imported, Piece, all_or_nothing, described
from workbench.tasks.importers import blade_analysis
from workbench.tasks.spec import Task

TITLE = "BLADE"
SOURCE = "Gu et al. (2024), arXiv 2408.09667; github.com/behavioral-data/BLADE"

_LETTERS = "ABCD"
_Table = TypeVar("_Table", bound=BaseModel)
_LACKING = "{} is not in the repository: put it there yourself"


class _Option(BaseModel):
    """A choice; two are the same only where what the annotator thought is the same too, which no agent sees."""

    cvar_str: str = ""
    code: str = ""
    rationale: str
    is_llm_generated: bool


class _Item(BaseModel):
    coneptual_var_str: str = ""
    mc_type: Literal["select_pos", "select_neg"]
    options: list[_Option] = Field(min_length=2, max_length=len(_LETTERS))
    correct_answer: _Option

    @model_validator(mode="after")
    def _the_answer_is_a_choice(self) -> Self:
        if self.correct_answer not in self.options:
            raise ValueError("the answer is none of the choices")
        return self

    @property
    def key(self) -> str:
        """The letter of the right choice, found as upstream finds it."""
        return _LETTERS[self.options.index(self.correct_answer)]


class _Items(BaseModel):
    mcqs_cvar: list[_Item]
    mcqs_transform: dict[str, list[_Item]]


class _Info(BaseModel):
    research_questions: list[str] = Field(min_length=1)
    data_desc: dict[str, object]


def tasks(checkout: Checkout) -> list[Imported]:
    """Return the items and the analyses of every data set; one without annotations has neither.

    Raises
    ------
    TaskError
        If the checkout is not one of BLADE.
    """
    found, top = [], checkout.find("blade_bench", "datasets")
    for folder in sorted(path for path in top.iterdir() if path.is_dir()):
        if (folder / "mcq_dataset.json").exists():
            with checkout.reading(f"blade/{_name(folder)}"):
                found += _items(checkout, folder, _read(checkout, folder / "info.json", _Info))
        if (folder / "annotations.csv").exists():
            with checkout.reading(f"blade/{_name(folder)}-analysis"):
                found.append(_analysis(checkout, folder, _read(checkout, folder / "info.json", _Info)))
    if not found and not checkout.malformed:
        raise TaskError(f"{top} holds no annotated data set", hint="is this a complete checkout of the benchmark?")
    return found


def _read(checkout: Checkout, path: Path, table: type[_Table]) -> _Table:
    try:
        return table.model_validate_json(checkout.text(str(path.relative_to(checkout.root))))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise TaskError(f"{path} is not as BLADE writes it: {where}: {first['msg']}", hint="is it changed?") from None


def _items(checkout: Checkout, folder: Path, info: _Info) -> list[Imported]:
    items = _read(checkout, folder / "mcq_dataset.json", _Items)
    transforms = [item for group in items.mcqs_transform.values() for item in group]
    return [
        _item(checkout, f"{_name(folder)}-{kind}-{number:02}", item, info)
        for kind, group in (("variable", items.mcqs_cvar), ("transform", transforms))
        for number, item in enumerate(group, start=1)
    ]


def _item(checkout: Checkout, name: str, item: _Item, info: _Info) -> Imported:
    most = "MOST" if item.mc_type == "select_pos" else "LEAST"
    if item.coneptual_var_str:
        concept = item.coneptual_var_str.lower()
        asked = f"Which code is the {most} justifiable to make the conceptual variable *{concept}* from the data, for a statistical model?"
        choices = [f"{letter}.\n```python\n{option.code}\n```" for letter, option in zip(_LETTERS, item.options, strict=False)]
    else:
        asked = f"Which conceptual variable is the {most} justifiable in the analysis?"
        choices = [f"{letter}. {option.cvar_str}" for letter, option in zip(_LETTERS, item.options, strict=False)]
    chance = 1 / len(item.options)
    task = _described(
        name,
        asked,
        interaction={"max_steps": 10, "max_seconds": 900},
        environment={"name": "python-min"},
        submission={"kind": "answer", "max_bytes": 10_000},
        grader={"kind": "mcq", "timeout": 60},
        metric=[
            all_or_nothing(
                "correct",
                normalise="baseline_to_one",
                best=1,
                baseline={"value": chance, "source": f"one of {len(item.options)} by chance"},
            )
        ],
    )
    instruction = "\n\n".join(
        [
            "We plan the analysis that answers a research question from a data set.",
            _described_data(info),
            asked,
            *choices,
            f"Answer with the letter alone, one of {', '.join(_LETTERS[: len(item.options)])}. The data themselves are not here.",
        ]
    )
    return Imported(task, checkout, {"": instruction}, [Piece("hidden/key.txt", item.key)], answer=item.key)


def _analysis(checkout: Checkout, folder: Path, info: _Info) -> Imported:
    data = folder / "data.csv"
    there = data.exists()
    task = _described(
        f"{_name(folder)}-analysis",
        info.research_questions[0],
        prepare={"needs": [] if there else ["files"], "why": "" if there else _LACKING.format(data.relative_to(checkout.root))},
        environment={"name": "python-ds", "packages": blade_analysis.PACKAGES, "memory": "4G"},
        submission={"kind": "json", "path": "analysis.json", "max_bytes": 100_000},
        grader={"timeout": 1200},
        metric=blade_analysis.metrics(),
    )
    instruction = "\n\n".join(
        [
            "Answer a research question from the data set `/workspace/data.csv`, by an analysis that can be justified.",
            _described_data(info),
            "Write `/workspace/analysis.json`, a JSON object with three fields:\n\n"
            "- `cvars`: the conceptual variables. `dv` is the dependent one, an object with `description` and `columns`: the columns of "
            "the final data frame that stand for it in the model. `ivs` is a list of such objects, the independent variables. `controls` "
            "is a list of such objects that also have `is_moderator` (boolean) and `moderator_on` (text or null).\n"
            "- `transform_code`: Python code of a function `transform(df)` that returns the data frame the model needs; "
            "what is derived is a new column.\n"
            "- `m_code`: Python code of a function `model(df)` that fits a statistical model to it and returns the results.",
        ]
    )
    if not there:
        return Imported(task, checkout, {"": instruction}, [])
    pieces = [Piece("workspace/data.csv", data), *blade_analysis.hidden(checkout, folder)]
    gold = blade_analysis.reference(checkout, folder / "annotations.csv")
    cells = [] if gold is None else [f"with open('analysis.json', 'w') as file:\n    file.write({json.dumps(gold)!r})"]
    return Imported(task, checkout, {"": instruction}, pieces, cells=cells)


def _described(name: str, summary: str, **more: object) -> Task:
    return described(f"blade/{name}", family="data-science", licence="ODC-By-1.0", source=SOURCE, summary=summary, **more)


def _described_data(info: _Info) -> str:
    data = json.dumps(info.data_desc, indent=2, ensure_ascii=False)
    return f"Research question: {info.research_questions[0]}\n\nThe data set:\n\n```json\n{data}\n```"


def _name(folder: Path) -> str:
    return re.sub(r"[^a-z0-9._-]", "-", folder.name.lower())
