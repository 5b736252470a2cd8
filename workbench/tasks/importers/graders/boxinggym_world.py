"""One world of BoxingGym, made by upstream's code: the environment, the goal, what is asked of it at the end and what is true.

A world is the same each time it is made. Run by itself, behind walls and with upstream's package below ``/checkout``, this
prints what the configurations in ``sys.argv[2]`` say.
"""

import contextlib
import importlib
import io
import json
import logging
import os
import random
import sys
import tempfile
import zlib
from pathlib import Path

SEEDS = {"dugongs_direct": 5, "hyperbolic_discount": 3, "location_finding_source": 4, "survival_direct_discovery": 2}
"""Of the worlds that are not the first drawn: in those, what is to be learned drowned in noise, or was what one expects without
looking. Upstream has no seed for what it draws."""
OTHER_WORLDS = 500
WORST = 10_000
"""Where upstream cuts errors off before it normalises those of one goal."""


def set_up(root: Path) -> None:
    """Make upstream's package importable, and what it draws with PyMC follow numpy's seed."""
    scratch = tempfile.mkdtemp()
    # PyMC would look for a compiler, and keep what it compiles; it has little to compute here
    os.environ["PYTENSOR_FLAGS"] = f"cxx=,mode=FAST_COMPILE,linker=py,base_compiledir={scratch}"
    os.environ["MPLCONFIGDIR"] = scratch
    sys.path.insert(0, str(root))
    import numpy as np
    import pymc

    logging.getLogger("pymc").setLevel(logging.ERROR)

    def seeded(draw):
        return lambda *args, **kwargs: draw(*args, **{"random_seed": np.random.randint(2**31), **kwargs})

    for name in ("draw", "sample_prior_predictive"):
        setattr(pymc, name, seeded(getattr(pymc, name)))


def seed(name: str, use: str) -> None:
    """Seed everything that upstream draws from, for one use in the world of one configuration."""
    import numpy as np

    number = zlib.crc32(f"{name} {SEEDS.get(name, 1)} {use}".encode())
    random.seed(number)
    np.random.seed(number)


def plain(value: object) -> object:
    """Return a value of upstream's as numbers and lists."""
    import numpy as np

    return np.asarray(value).tolist()


def text(value: object) -> str:
    """Write numbers and lists of them as upstream can read them: without names, and whole numbers without a point."""
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(text, value))}]"
    return str(int(value)) if value == int(value) else repr(float(value))


class World:
    """An environment and a goal in it; :func:`set_up` comes first.

    Parameters
    ----------
    config : dict
        ``name``, ``module``, ``environment``, ``goal``, ``parameters`` and ``evaluations``, as upstream's configuration has them.
    """

    def __init__(self, config: dict) -> None:
        self._config = config
        module = importlib.import_module(f"boxing_gym.envs.{config['module']}")
        seed(config["name"], "world")
        self.environment = getattr(module, config["environment"])(**config["parameters"])
        self.goal = getattr(module, config["goal"])(self.environment)
        # upstream asks before the first observation too: that is when the points are drawn
        self._asked(prior=True)
        # as they are drawn, right answers come in an order: 1, 0, 1, 0 in two environments, ones before zeros in another
        random.shuffle(self.goal.eval_points)
        self._measurements = [measured for _, measured in self._asked(prior=True)]
        seed(config["name"], "observations")

    def _asked(self, *, prior: bool) -> list:
        self.goal.eval_pointer = 0
        return [self.goal.get_goal_eval_question(prior) for _ in range(self._config["evaluations"])]

    def questions(self, *, prior: bool) -> list:
        """Return upstream's questions, each with the input that it is about, where it is about one.

        The inputs are what upstream gives to programs that answer; one of its goals leaves them out of the words.
        """
        asked = [{"question": question.strip()} for question, _ in self._asked(prior=prior)]
        for number, point in enumerate(self.goal.eval_points[: len(asked)]):
            asked[number]["input"] = [plain(part) for part in point[:-1]]
        return asked

    @property
    def truth(self) -> list:
        """The right answers."""
        return [plain(measured) for measured in self._measurements]

    def evaluate(self, predictions: "list[str]") -> "tuple[float, float]":
        """Return upstream's score, and its spread.

        Upstream evaluates the predictions of some goals as code: give it nothing but what :func:`text` wrote.
        """
        score, spread = self.goal.evaluate_predictions(predictions, self._measurements)
        return float(score), float(spread)

    @property
    def direction(self) -> str:
        """``max`` where upstream's score is an accuracy, ``min`` where it is an error."""
        return "max" if self.evaluate([text(true) for true in self.truth])[0] == 1 else "min"

    def normalised(self, score: float) -> "float | None":
        """Return a score on upstream's scale of errors, as its notebooks do; None where upstream has no constants for the goal."""
        if not hasattr(self.goal, "norm_mu"):
            return None
        if self._config["module"] == "location_finding" and "Direct" in self._config["goal"]:
            score = min(score, WORST)
        scaled = (score - self.goal.norm_mu) / self.goal.norm_sigma
        return float(1 - scaled if self.direction == "max" else scaled)

    def baseline(self) -> float:
        """Return what the best answer scores that is made without looking; the world is another afterwards.

        Of several questions it is the mean of the right answers, given to all. Of one question it is the mean over worlds, and
        the score is the mean over other worlds.
        """
        import numpy as np

        if len(self.truth) > 1:
            truth = np.array(self.truth)
            mean = np.mean(truth, axis=0)
            if np.issubdtype(truth.dtype, np.integer):
                mean = np.round(mean)
            return self.evaluate([text(mean.tolist())] * len(truth))[0]
        seed(self._config["name"], "other worlds")
        mean = text(np.mean([self._another() for _ in range(OTHER_WORLDS)], axis=0).tolist())
        scores = []
        for _ in range(OTHER_WORLDS):
            self._another()
            scores.append(self.evaluate([mean])[0])
        return float(np.mean(scores))

    def _another(self) -> object:
        self.environment.reset()
        self._measurements = [measured for _, measured in self._asked(prior=True)]
        return self._measurements[0]

    def prompt(self, *, prior: bool) -> "dict | None":
        """Return what upstream tells the scientist, and how it asks for an explanation; None where it does not do without the prior."""
        try:
            message = self.goal.get_system_message(prior)
            self._asked(prior=prior)
        except (ValueError, NotImplementedError, AssertionError):
            if prior:
                raise
            return None
        request = getattr(self.goal, "get_comm_prompt", None)
        return {"message": message, "request": request(include_prior=prior, com_limit=self._config["words"]) if request else ""}


def described(config: dict) -> dict:
    """Return what a configuration says, for the importer."""
    world = World(config)
    answer = [text(true) for true in world.truth]
    said = {
        "prompts": {json.dumps(prior): said for prior in (True, False) if (said := world.prompt(prior=prior)) is not None},
        "answer": answer,
        "direction": world.direction,
        "normalised": world.normalised(0.0) is not None,
        "best": world.evaluate(answer)[0],
        "baseline": world.baseline(),
    }
    if said["baseline"] == said["best"]:
        raise ValueError("its questions can be answered without looking")
    return said


def main() -> None:
    """Print what each configuration says, or why it says nothing."""
    said = {}
    with contextlib.redirect_stdout(io.StringIO()):
        set_up(Path("/checkout"))
        for config in json.loads(sys.argv[2]):
            try:
                said[config["name"]] = described(config)
            except Exception as error:
                said[config["name"]] = {"failed": f"{type(error).__name__}: {error}"[:500]}
    print(json.dumps(said))


if __name__ == "__main__":
    main()
