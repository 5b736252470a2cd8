"""What an agent has of a world of BoxingGym, and upstream's evaluation of its answers.

``config.json`` in the hidden folder says which world it is; upstream's package is ``boxing_gym`` there.
"""

import ast
import json
import re
import sys
from pathlib import Path

from workbench_grading import Invalid, ask_judge, judge_is_there, read_json

HERE = Path(__file__).parent
TRIES = 3
"""As upstream has it: an input that is refused so often counts as an observation."""
MOST = 10**9
"""A number beyond it is no prediction, and upstream's squares of it would stop being numbers."""
_NOVICE = """Somebody has experimented with something that you do not know, and explains it to you below. Answer by what you are told.

{question}

The input that is asked about: {input}

You may think first. End with your answer, which is {wanted}, in this form:
<answer>your answer</answer>"""


def made() -> tuple:
    """Return the module ``world`` of the hidden folder, the configuration, and its world."""
    sys.path.insert(0, str(HERE))
    import world

    world.set_up(HERE)
    config = json.loads((HERE / "config.json").read_text(encoding="utf-8"))
    return world, config, world.World(config)


class Lab:
    """An environment to experiment in, and the questions at the end."""

    def __init__(self, prior: str) -> None:
        self._module, self._config, self._world = made()
        self._prior = prior == "true"
        self._left, self._refused, self._asked = self._config["observations"], 0, False

    def observe(self, what: object) -> object:
        """Make an observation, and return what is seen."""
        if self._asked:
            raise ValueError("no observation can be made any more: the questions have been asked")
        if not self._left:
            raise ValueError("all observations have been made")
        try:
            seen = self._seen(what if isinstance(what, str) else json.dumps(what))
        except Exception as error:
            self._refused += 1
            if self._refused == TRIES:
                self._left, self._refused = self._left - 1, 0
                raise ValueError(f"{error} (refused {TRIES} times: this counts as an observation, {self._left} are left)") from None
            raise
        self._left, self._refused = self._left - 1, 0
        return seen

    def _seen(self, what: str) -> object:
        import numpy as np

        environment = self._world.environment
        design = environment.validate_input(what)
        if isinstance(design, str):
            raise ValueError(design)
        values = np.asarray(design, dtype=float)
        if not np.isfinite(values).all():
            raise ValueError("the input must be finite numbers")
        if hasattr(environment, "restricted_pair") and (values < 0).any():
            # counted from the end, a number would lead around the pairs that are asked for later
            raise ValueError("the input must not be negative")
        seen, accepted = environment.run_experiment(what)
        if not accepted:
            raise ValueError(seen)
        return self._module.plain(seen)

    def questions(self) -> list:
        """Return what is to be answered; after this no observation can be made."""
        self._asked = True
        return self._world.questions(prior=self._prior)


class Discovery(Lab):
    """An environment whose discoveries are to be explained before the questions."""

    def __init__(self, prior: str) -> None:
        super().__init__(prior)
        self._explained = False

    def explain(self, text: str) -> str:
        """Explain what you have found, and return what is told to the user; the last explanation counts."""
        if self._asked:
            raise ValueError("nothing can be explained any more: the questions have been asked")
        if not isinstance(text, str) or not text.strip():
            raise ValueError("the explanation must be a text")
        if len(text.split()) > self._config["words"]:
            raise ValueError(f"the explanation has {len(text.split())} words, more than {self._config['words']}")
        self._explained = True
        return self._world.goal.get_naive_system_message(self._prior) + text

    def questions(self) -> list:
        """Return what is to be answered; after this no observation can be made. Explain first."""
        if not self._explained:
            raise ValueError("explain what you have found first")
        return super().questions()


def grade(submission: Path, hidden: Path) -> dict:  # noqa: ARG001 - the world is beside this file
    """Have upstream evaluate the answers, of which it sees nothing but numbers."""
    episode = read_json(submission / "episode.json", ["answer", "calls"], 16 * 2**20)
    module, _, world = made()
    predictions = [module.text(value) for value in answers(episode["answer"], world.truth)]
    score, spread = world.evaluate(predictions)
    metrics = {"accuracy" if world.direction == "max" else "error": score}
    normalised = world.normalised(score)
    if normalised is not None:
        metrics["normalised_error"] = normalised
    said = {call["tool"]: call["result"] for call in episode["calls"] if "result" in call}
    details = {"predictions": predictions, "spread": spread}
    if hasattr(world.goal, "get_naive_system_message") and judge_is_there():
        told = said.get("explain") or world.goal.get_naive_system_message(True)
        learned = [module.text(value) for value in novice(told, said.get("questions") or world.questions(prior=True), world.truth)]
        metrics[f"novice_{'accuracy' if world.direction == 'max' else 'error'}"] = world.evaluate(learned)[0]
        details["novice"] = learned
    return {"metrics": metrics, "invalid": None, "details": details}


def novice(told: str, questions: list, truth: list) -> list:
    """Return the answer of a novice who knows only what was explained; the judge plays the novice."""
    found = []
    for number, (asked, true) in enumerate(zip(questions, truth, strict=True)):
        wanted = kind(true, truth)

        def read(reply: str, true: object = true, wanted: str = wanted) -> "dict[str, float]":
            value = literal((re.findall(r"<answer>(.*?)</answer>", reply, re.DOTALL) or [""])[-1])
            if not is_like(value, true, truth):
                raise ValueError(f"the answer must be {wanted}")
            return {str(place): part for place, part in enumerate(value if isinstance(true, list) else [value])}

        instructions = _NOVICE.format(**asked, wanted=wanted)
        (values,) = ask_judge(f"novice, question {number}", instructions, {"explanation": told}, read=read)
        found.append(list(values.values()) if isinstance(true, list) else values["0"])
    return found


def answers(said: str, truth: list) -> list:
    """Return the answers as numbers and lists of numbers; what is no literal of the right shape is invalid."""
    found = literal(said)
    if not isinstance(found, (list, tuple)) or len(found) != len(truth):
        raise Invalid(f"the answer must be a list of {len(truth)}")
    values = [literal(each) if isinstance(each, str) else each for each in found]
    for number, (value, true) in enumerate(zip(values, truth, strict=True)):
        if not is_like(value, true, truth):
            raise Invalid(f"element {number} of the answer must be {kind(true, truth)}")
    return values


def literal(said: str) -> object:
    """Return the value of a text as a Python literal, or None if it is not a literal; it is never run."""
    try:
        return ast.literal_eval(said.strip().strip("`").strip()[:100_000])
    except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
        return None


def is_binary(truth: list) -> bool:
    """Say whether all right answers are 0 or 1; upstream then takes whatever contains a 1 for 1."""
    return all(true in (0, 1) for true in truth)


def is_like(value: object, true: object, truth: list) -> bool:
    """Say whether a value may answer the question with the right answer ``true``: numbers of the same shape."""
    if isinstance(true, list):
        return (
            isinstance(value, (list, tuple))
            and len(value) == len(true)
            and all(is_like(*pair, truth) for pair in zip(value, true, strict=True))
        )
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        return False
    return value in (0, 1) if is_binary(truth) else -MOST <= value <= MOST


def kind(true: object, truth: list) -> str:
    """Say what an answer must be."""
    if isinstance(true, list):
        return f"a list of {len(true)}, each {kind(true[0], truth)}"
    return "0 or 1" if is_binary(truth) else "a number"
