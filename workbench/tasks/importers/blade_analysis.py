"""BLADE's analyses: what grades one, and one that the annotators made, to try it with."""

from __future__ import annotations

import csv
import io
import json
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ValidationError

from workbench.errors import TaskError
from workbench.tasks.checkout import Checkout
from workbench.tasks.imported import Piece

KINDS = ("cvar", "model", "model_cvar", "transform_graph", "transform_value")
PACKAGES = ["astor>=0.8.1,<1", "langchain-core>=0.3,<2", "networkx>=3.3,<3.5", "pydantic>=2.7,<3"]
"""What upstream's evaluation needs; a later networkx has other hashes of graphs."""
_GRADER = Path(__file__).parent / "graders" / "blade.py"
_UPSTREAM = ("__init__.py", "data", "eval", "llms", "logger.py", "nb", "parse_code.py", "utils.py")
_EXAMPLE = "fertility"
"""The data set that upstream's prompts take their example from."""
_MARKS = "🟨🟩 "
"""Before a column's name the annotators' tool says whether it is derived."""
_Spec = TypeVar("_Spec", bound=BaseModel)


class _Branch(BaseModel):
    dependencies: list[str] = []


class _Transform(BaseModel):
    code: str = ""
    branches: list[_Branch | list[str]] = []

    @property
    def after(self) -> list[str]:
        """What comes before it, on the first of the ways to it."""
        first = self.branches[0] if self.branches else []
        return first.dependencies if isinstance(first, _Branch) else first


class _Model(BaseModel):
    specification: str
    code: str | None = ""
    associated_columns_orig: list[str] | None = []
    associated_columns_derived: list[str] | None = []
    associated_columns_leaf_spec_ids: list[str] | None = []
    associated_specified_spec_ids: list[str] | None = []

    @property
    def columns(self) -> list[str]:
        return _plain(self.associated_columns_orig, self.associated_columns_derived)

    @property
    def needs(self) -> set[str]:
        return {*(self.associated_columns_leaf_spec_ids or []), *(self.associated_specified_spec_ids or [])}


class _Variable(BaseModel):
    variable_type: Literal["IV", "DV", "Control"]
    concept: str
    interaction: bool
    on: str | None = ""
    final_columns_orig: list[str] | None = []
    final_columns_derived: list[str] | None = []

    @property
    def columns(self) -> list[str]:
        return _plain(self.final_columns_orig, self.final_columns_derived)


def metrics() -> list[dict[str, Any]]:
    """Return the metrics: upstream's weighted F1, and precision, coverage and F1 of each kind of decision."""
    each = [f"{part}_{kind}" for kind in KINDS for part in ("precision", "coverage", "f1")]
    # upstream has no rule; half is more than any model that is published reaches, with ten runs to cover what one covers here
    first: dict[str, Any] = {"name": "f1", "primary": True, "success": {"rule": "ge", "value": 0.5}}
    return [{"by": "judge", "range": [0, 1], "invalid": 0, **said} for said in (first, *({"name": name} for name in each))]


def hidden(checkout: Checkout, folder: Path) -> list[Piece]:
    """Return what grades an analysis of a data set: upstream's package, without the other data sets, and our grader.

    Raises
    ------
    TaskError
        If the checkout lacks any of it.
    """
    top = checkout.find("blade_bench")
    names = [*_UPSTREAM, f"datasets/{_EXAMPLE}/info.json"]
    names += [f"datasets/{folder.name}/{name}" for name in ("annotations.csv", "data.csv", "info.json") if folder.name != _EXAMPLE]
    return [
        Piece("hidden/grader.py", _GRADER),
        Piece("hidden/dataset.txt", folder.name),
        *(Piece(f"hidden/upstream/blade_bench/{name}", checkout.find(*(top / name).relative_to(checkout.root).parts)) for name in names),
    ]


def reference(checkout: Checkout, path: Path) -> dict[str, Any] | None:
    """Return an analysis of the annotators: the model that takes most transformations, with all their variables; None without one.

    Raises
    ------
    TaskError
        If the annotations are malformed.
    """
    said = io.StringIO(checkout.text(str(path.relative_to(checkout.root))), newline="")
    try:
        rows = list(csv.DictReader(said))
        transforms = _specs(rows, "transform_spec_json", _Transform)
        models, variables = _specs(rows, "model_spec_json", _Model), _specs(rows, "conceptual_spec_json", _Variable).values()
    except (ValidationError, ValueError, csv.Error) as error:
        raise TaskError(f"{path} is not as BLADE writes it: {str(error)[:300]}", hint="is it changed?") from None
    outcomes = [each for each in variables if each.variable_type == "DV"]
    if not models or not outcomes:
        return None
    try:
        ways = {name: _way(each.needs, transforms) for name, each in models.items()}
    except CycleError as error:
        raise TaskError(f"{path} is not as BLADE writes it: {error}", hint="is it changed?") from None
    chosen, way = max(ways.items(), key=lambda each: len(each[1]))
    model = models[chosen]
    # an analysis has one outcome: the model's, where there are several
    outcome = max(outcomes, key=lambda each: len(set(each.columns) & set(model.columns)))
    return {
        "cvars": {
            "dv": _described(outcome),
            "ivs": [_described(each) for each in variables if each.variable_type == "IV"],
            "controls": [
                {**_described(each), "is_moderator": each.interaction, "moderator_on": each.on or None}
                for each in variables
                if each.variable_type == "Control"
            ],
        },
        "transform_code": _function("transform", [transforms[name].code for name in way], "df"),
        "m_code": _function("model", [json.dumps(f"{model.specification}, of {', '.join(model.columns)}"), model.code or ""], "None"),
    }


def _specs(rows: list[dict[str, str]], column: str, kind: type[_Spec]) -> dict[str, _Spec]:
    return {row["spec_id"]: kind.model_validate_json(row[column]) for row in rows if (row.get(column) or "").strip()}


def _way(needs: set[str], transforms: dict[str, _Transform]) -> list[str]:
    """Return the transformations that lead to ``needs``, in an order in which they can be made."""
    found: dict[str, list[str]] = {}
    left = [name for name in sorted(needs) if name in transforms]
    while left:
        name = left.pop()
        if name not in found:
            found[name] = [each for each in transforms[name].after if each in transforms]
            left += found[name]
    return [name for name in TopologicalSorter(found).static_order() if transforms[name].code]


def _described(variable: _Variable) -> dict[str, Any]:
    return {"description": variable.concept, "columns": variable.columns}


def _plain(*groups: list[str] | None) -> list[str]:
    return [column.lstrip(_MARKS) for group in groups for column in group or []]


def _function(name: str, codes: list[str], result: str) -> str:
    body = "\n".join(codes).strip().replace("\n", "\n    ")
    return f"def {name}(df):\n    {body}\n    return {result}\n"
