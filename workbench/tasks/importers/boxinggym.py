"""BoxingGym: ten environments to experiment in, with goals; predictions afterwards say what was understood.

Upstream has a language model play a novice whom discoveries are explained to. Here that is the judge; and whoever made a
discovery answers the questions too, which is what decides.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from workbench.tasks.checkout import Checkout
from workbench.tasks.imported import Imported, Piece, described
from workbench.tasks.importers import boxinggym_configs as configs
from workbench.tasks.importers.boxinggym_configs import Config
from workbench.tasks.listing import listed
from workbench.tasks.spec import Task

TITLE = "BoxingGym"
SOURCE = "Gandhi et al. (2025), arXiv 2501.01540; github.com/kanishkg/boxing-gym"

_GRADERS = Path(__file__).parent / "graders"
_PACKAGES = ["pymc>=5.16,<6", "numpy<2.5"]
"""With what it needs itself, all that upstream's environments import; numba, which it brings, cannot be had for a later numpy."""


def tasks(checkout: Checkout) -> list[Imported]:
    """Return a task for each of upstream's configurations; what its code makes of them is asked behind walls.

    Raises
    ------
    TaskError
        If the checkout is not one of BoxingGym.
    """
    found = configs.read(checkout)
    said = listed(
        checkout,
        checkout.find(configs.PACKAGE),
        _GRADERS / "boxinggym_world.py",
        inside="boxing_gym",
        environment="python-ds",
        packages=_PACKAGES,
        asked=json.dumps([config.world for config in found if not config.needs]),
    )
    tasks = []
    for config in found:
        with checkout.reading(f"boxinggym/{config.name}"):
            tasks.append(_task(checkout, config, said.get(config.name, {})))
    return tasks


def _task(checkout: Checkout, config: Config, said: dict[str, Any]) -> Imported:
    if "answer" not in said:
        needs, why = (config.needs, config.why) if config.needs else (("files",), f"upstream's code does not run: {said.get('failed')}")
        task = _described(config, f"Environment {config.environment}, goal {config.goal}.", prepare={"needs": needs, "why": why})
        return Imported(task, checkout, {"": task.summary}, [])
    task = _described(
        config,
        said["prompts"]["true"]["message"],
        prompt={"axes": {"prior": list(said["prompts"])}},
        interaction={
            "mode": "environment",
            "environment": f"grader.py:{'Discovery' if config.is_discovery else 'Lab'}",
            "max_steps": 50,
            "max_seconds": 3600,
        },
        environment={"name": "python-ds", "packages": _PACKAGES, "memory": "2G", "cell_seconds": 300},
        submission={"kind": "episode", "max_bytes": 8 * 2**20},
        metric=_metrics(config, said),
    )
    instructions = {f"prior={prior}": _instruction(config, prompt, said) for prior, prompt in said["prompts"].items()}
    pieces = [
        Piece("hidden/boxing_gym", checkout.find(configs.PACKAGE)),
        Piece("hidden/world.py", _GRADERS / "boxinggym_world.py"),
        Piece("hidden/grader.py", _GRADERS / "boxinggym.py"),
        Piece("hidden/config.json", json.dumps({**config.world, "observations": config.observations})),
    ]
    return Imported(task, checkout, instructions, pieces, answer=f"[{', '.join(said['answer'])}]")


def _described(config: Config, summary: str, **more: object) -> Task:
    return described(f"boxinggym/{config.name}", family="data-science", licence="MIT", source=SOURCE, summary=summary, **more)


def _metrics(config: Config, said: dict[str, Any]) -> list[dict[str, Any]]:
    is_accuracy = said["direction"] == "max"
    name = "accuracy" if is_accuracy else "error"
    scale = {
        "direction": said["direction"],
        "range": [0, 1 if is_accuracy else float("inf")],
        "invalid": 0 if is_accuracy else None,
    }
    primary = {
        "name": name,
        "primary": True,
        **scale,
        "baseline": {
            "value": said["baseline"],
            "source": "measured: the best answer made without looking, by upstream's evaluation",
        },
        "normalise": "baseline_to_one",
        "best": said["best"],
        "success": {"rule": "gt" if is_accuracy else "lt", "value": said["baseline"]},
    }
    normalised = [{"name": "normalised_error", "direction": "min"}] if said["normalised"] else []
    novice = [{"name": f"novice_{name}", "by": "judge", **scale}] if config.is_discovery else []
    return [primary, *normalised, *novice]


def _instruction(config: Config, prompt: dict[str, str], said: dict[str, Any]) -> str:
    number, is_accuracy = len(said["answer"]), said["direction"] == "max"
    if number == 1:
        asked, given, same = "the question, as a list with one `question`", "one element, what answers the question", ""
    else:
        asked = f"the {number} questions, as a list with a `question` and the `input` it is about in each"
        given, same = f"{number} elements, in the order of the questions", ", the same to every question"
    functions = [
        "`observe(what)` makes an observation and returns what is seen; `what` is what would stand between `<observe>` and `</observe>`. "
        f"You have {config.observations} observations. Where an input is refused you may give another, but what is refused three times "
        "in a row counts as an observation.",
        f"`questions()` returns {asked}. After that no observation can be made.",
    ]
    if config.is_discovery:
        request = "\n".join(f"  > {line}" for line in prompt["request"].strip().splitlines())
        functions[1:1] = [f"`explain(text)` is for your explanation, when you have made your observations:\n\n{request}\n"]
        functions[2] += " The user answers them by your explanation, and you by what you know."
    paragraphs = [
        prompt["message"].strip(),
        "---",
        "Those are BoxingGym's words. What they have you do with tags you do here with functions:",
        "\n".join(f"- {function}" for function in functions),
        f"Your answer is a list with {given}: each a number, or a list of numbers where that is asked for. Nothing else belongs into it.",
        f"BoxingGym's own evaluation makes {'an accuracy' if is_accuracy else 'an error'} of it. The task is solved when that is better "
        f"than what the best answer gets that is made without looking{same}.",
    ]
    return "\n\n".join(paragraphs)
