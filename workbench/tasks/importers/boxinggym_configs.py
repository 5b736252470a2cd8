"""BoxingGym's configurations: the files in ``conf``, and what ``run_experiment.py`` makes of the names in them, which is read, not run."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from workbench import syntax
from workbench.errors import TaskError
from workbench.tasks.checkout import Checkout

PACKAGE = "src/boxing_gym"
_HINT = "is this a complete checkout of github.com/kanishkg/boxing-gym?"
_PROGRAM = "run_experiment.py"
_MODULES = "boxing_gym.envs."


@dataclass(frozen=True)
class Config:
    """A file of ``conf/envs``.

    Attributes
    ----------
    name : str
        That of the file.
    environment, goal : str
        Upstream's names.
    world : dict
        What upstream's code is made with, as ``graders/boxinggym_world.py`` takes it; JSON.
    observations : int
        The most that upstream lets a scientist make.
    needs : tuple of str
        What is not there, see :mod:`workbench.tasks.availability`.
    why : str
        What is needed, in words.
    """

    name: str
    environment: str
    goal: str
    world: dict[str, Any]
    observations: int
    needs: tuple[str, ...] = ()
    why: str = ""

    @property
    def is_discovery(self) -> bool:
        """Whether the scientist is to explain what was found."""
        return self.goal.endswith("discovery")


def read(checkout: Checkout) -> list[Config]:
    """Return the configurations.

    Raises
    ------
    TaskError
        If the checkout is not one of BoxingGym.
    """
    folder, known = checkout.find("conf", "envs"), _Known(checkout)
    budgets = {exp: max(_yaml(checkout, Path("conf", "exp", f"{exp}.yaml"), _budget)) for exp in ("oed", "discovery")}
    found = []
    for path in sorted(folder.glob("*.yaml")):
        with checkout.reading(f"boxinggym/{path.stem}"):
            found.append(_config(checkout, path, known, budgets))
    if not found and not checkout.malformed:
        raise TaskError(f"{folder} holds no configuration", hint=_HINT)
    return found


def _config(checkout: Checkout, path: Path, known: _Known, budgets: dict[str, int]) -> Config:
    said = _yaml(checkout, path.relative_to(checkout.root), _said)
    environment, goal = said["env_name"], said["goal_name"]
    world = {
        "name": path.stem,
        "parameters": said["env_params"],
        "evaluations": said["num_evals"],
        "words": said["com_limit"],
    }
    needs: tuple[str, ...] = ()
    why = ""
    if environment not in known.environments or (environment, goal) not in known.goals:
        needs, why = ("files",), f"{_PROGRAM} knows no environment {environment} with a goal {goal}, and the repository has no code for it"
    else:
        module, made = known.environments[environment]
        world |= {"module": module, "environment": made, "goal": known.goals[environment, goal]}
        if known.asks_a_model(module):
            needs, why = ("network",), "a language model of OpenAI's plays the participant, whose words are what is observed"
    return Config(
        name=path.stem,
        environment=environment,
        goal=goal,
        world=world,
        observations=budgets["discovery" if goal.endswith("discovery") else "oed"],
        needs=needs,
        why=why,
    )


def _yaml(checkout: Checkout, path: Path, read: Any) -> Any:
    try:
        return read(yaml.safe_load(checkout.text(str(path))))
    except (yaml.YAMLError, KeyError, TypeError, ValueError) as error:
        raise TaskError(f"{checkout.root / path} is no configuration of BoxingGym: {error!r}", hint=_HINT) from None


def _budget(said: Any) -> list[int]:
    budgets = list(said["num_experiments"])
    if not budgets or not all(type(each) is int for each in budgets):
        raise ValueError("num_experiments must be whole numbers")
    return budgets


def _said(said: Any) -> dict[str, Any]:
    for field, kind in {"env_name": str, "goal_name": str, "env_params": dict, "num_evals": int, "com_limit": int}.items():
        if not isinstance(said[field], kind):
            raise TypeError(f"{field} = {said[field]!r}")
    return dict(said)


class _Known:
    """The two dictionaries of ``run_experiment.py``: environments by name, and goals by both names, as modules and classes."""

    def __init__(self, checkout: Checkout) -> None:
        self._checkout = checkout
        program = self._tree(_PROGRAM)
        modules = {
            alias.asname: alias.name.removeprefix(_MODULES)
            for node in ast.walk(program)
            if isinstance(node, ast.Import)
            for alias in node.names
            if alias.name.startswith(_MODULES)
        }
        self.environments: dict[str, tuple[str, str]] = {}
        self.goals: dict[tuple[str, str], str] = {}
        for node in ast.walk(program):
            for key, value in zip(node.keys, node.values, strict=True) if isinstance(node, ast.Dict) else ():
                match key, value:
                    case ast.Constant(value=str(name)), ast.Attribute(value=ast.Name(id=alias), attr=made) if alias in modules:
                        self.environments[name] = modules[alias], made
                    case ast.Tuple(elts=[ast.Constant(value=str(name)), ast.Constant(value=str(goal))]), ast.Attribute(
                        value=ast.Name(id=alias), attr=made
                    ) if alias in modules:
                        self.goals[name, goal] = made
        if not self.environments or not self.goals:
            raise TaskError(f"{checkout.root / _PROGRAM} does not say which classes its environments and goals are", hint=_HINT)

    def asks_a_model(self, module: str) -> bool:
        """Say whether an environment has a language model take part."""
        tree = self._tree(f"{PACKAGE}/envs/{module}.py")
        names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
        names |= {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
        return any(name.split(".")[0] == "openai" for name in names)

    def _tree(self, name: str) -> ast.Module:
        try:
            return syntax.parse(self._checkout.text(name))
        except (SyntaxError, ValueError) as error:
            raise TaskError(f"{self._checkout.root / name} is not Python: {error}", hint=_HINT) from None
