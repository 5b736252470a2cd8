"""CodeARC's hidden function, behind questions; and the test whether a submission does the same.

Upstream calls both functions with inputs, and lets an input pass where both raise, or both return values that are equal.
So does this. Where upstream's inputs come from is another matter, see ``inputs.py``.
"""

import contextlib
import json
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from workbench_grading import Failed, read_text, submitted
from workbench_grading.calling import Remote, Submitted

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

import inputs  # noqa: E402 - it is beside this file, where nothing else looks

_SECONDS = 45
"""For all inputs together, of either function."""
_PUBLISHED, _VARIED = 5, 0.1
"""For one, in which upstream's limit is the first; what is asked may take as long."""
_LATE = "TimeoutError: it took more than"
_LONGEST = 10_000
# it is the processor's time that is limited: a busy machine must not change what is found
_CONTEXT = """
def __workbench_call__(name, args, kwargs, text, seconds):
    import signal
    def stop(*_):
        raise TimeoutError(f"it took more than {seconds} s")
    signal.signal(signal.SIGPROF, stop)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        value = globals()[name](*args, **kwargs)
        if text:
            return str(value)
        return value.tolist() if hasattr(value, "tolist") else list(value) if hasattr(value, "__next__") else value
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
"""


class Outcome:
    """What came of a call: that it raised, or what it returned.

    Parameters
    ----------
    module : Remote
        The function's, with the context.
    call : Call
        What is called.
    seconds : float
        As long as it may take.
    """

    def __init__(self, module: object, call: "inputs.Call", seconds: float) -> None:
        self.value, self.raised = None, None
        try:
            self.value = module.__workbench_call__(call.name, call.args, call.kwargs, False, seconds)
            if isinstance(self.value, Remote):
                # an object of a class of its own has only its text to be compared by
                self.value = module.__workbench_call__(call.name, call.args, call.kwargs, True, seconds)
        except Failed as reason:
            self.raised = str(reason)

    def same(self, other: "Outcome", *, in_order: bool) -> bool:
        """Say whether both raised, or returned what is equal; what was raised may differ."""
        if self.raised is not None or other.raised is not None:
            return self.raised is not None and other.raised is not None
        values = [self.value, other.value]
        if not in_order and all(isinstance(value, str | list | tuple) for value in values):
            values = [sorted(map(repr, value)) for value in values]
        return bool(values[0] == values[1])

    def __str__(self) -> str:
        try:
            return (repr(self.value) if self.raised is None else self.raised)[:_LONGEST]
        except (ValueError, RecursionError) as error:
            # a number of too many digits, or lists in lists in lists
            return f"something that cannot be shown: {error}"


class Test:
    """Inputs, and what the hidden function makes of them.

    A varied input is one only where the function returns, and soon: who can say that it is valid otherwise? And what another
    process does not make of it too, or what says where in memory it is, is nothing to compare with. Where only the order is
    another in another process, as that of a set's texts is, the order does not count.

    Parameters
    ----------
    problem : dict
        What the importer says of it.

    Raises
    ------
    RuntimeError
        If there is no such input.
    """

    def __init__(self, problem: dict) -> None:
        self.published = examples(problem)
        made: dict[inputs.Call, tuple[Outcome, Outcome]] = {}
        with hidden_function() as there, hidden_function() as elsewhere:
            for call in [*self.published, *inputs.varied(self.published)]:
                seconds = _PUBLISHED if call in self.published else _VARIED
                outcome = Outcome(there.module, call, seconds)
                if outcome.raised is None or (call in self.published and not outcome.raised.startswith(_LATE)):
                    made[call] = outcome, Outcome(elsewhere.module, call, seconds)
        self.in_order = all(one.same(other, in_order=True) or not one.same(other, in_order=False) for one, other in made.values())
        self.wanted = {
            call: one for call, (one, other) in made.items() if one.same(other, in_order=self.in_order) and " at 0x" not in str(one)
        }
        if not self.wanted:
            raise RuntimeError("the hidden function gives nothing that can be compared")

    def differing(self, folder: Path, file: str) -> "Iterator[tuple[inputs.Call, str]]":
        """Yield the inputs at which a submission differs, each with what it makes of them.

        Raises
        ------
        Failed
            If it cannot be loaded.
        """
        with submitted(folder, file, context=_CONTEXT, timeout=_SECONDS) as there:
            for call, outcome in self.wanted.items():
                if not outcome.same(got := Outcome(there.module, call, _PUBLISHED), in_order=self.in_order):
                    yield call, str(got)


def hidden_function() -> "contextlib.AbstractContextManager[Submitted]":
    """Return the hidden function in a process of its own, which sees nothing else of what is hidden."""
    return submitted(HERE / "function", "hidden.py", context=_CONTEXT, timeout=_SECONDS)


def said() -> dict:
    """Return what the importer says of the problem."""
    return json.loads((HERE / "problem.json").read_text(encoding="utf-8"))


def examples(problem: dict) -> "list[inputs.Call]":
    """Return the published calls."""
    return [inputs.Call.parse(text, problem["name"]) for text in problem["examples"]]


class BlackBox:
    """A hidden function that can be asked, and that a draft can be tested against."""

    def __init__(self) -> None:
        self._problem = said()

    def query(self, call: str) -> str:
        """Return what the hidden function makes of a call, as text: query("name([1, 2], key='a')"). Arguments are literals."""
        asked = inputs.Call.parse(call, self._problem["name"])
        self._spend("queries")
        try:
            with hidden_function() as there:
                return there.module.__workbench_call__(self._problem["name"], asked.args, asked.kwargs, True, _PUBLISHED)[:_LONGEST]
        except Failed as reason:
            return str(reason)

    def check(self, source: str) -> str:
        """Test the source of a whole file, as solution.py will be; return the first input for which it differs."""
        if not isinstance(source, str):
            raise TypeError("check takes the source as a text")
        self._spend("checks")
        with tempfile.TemporaryDirectory() as folder:
            Path(folder, "draft.py").write_text(source, encoding="utf-8", errors="replace")
            test = Test(self._problem)
            try:
                for call, got in test.differing(Path(folder), "draft.py"):
                    return f"it differs at {call}: the hidden function gives {test.wanted[call]}, yours {got}"
            except Failed as reason:
                return f"it cannot be loaded: {reason}"
        return f"no difference found at {len(test.wanted)} inputs"

    def _spend(self, what: str) -> None:
        if self._problem[what] < 1:
            raise ValueError(f"there are no {what} left")
        self._problem[what] -= 1


def grade(submission: Path, hidden: Path) -> dict:  # noqa: ARG001 - everything is beside this file
    """Return whether no input shows a difference, and the share of inputs that show none."""
    read_text(submission / "solution.py", 2**20)
    test = Test(said())
    try:
        wrong = dict(test.differing(submission, "solution.py"))
    except Failed as reason:
        wrong = dict.fromkeys(test.wanted, f"it cannot be loaded: {reason}")
    published = [call for call in test.published if call in test.wanted]
    metrics = {
        "equivalent": float(not wrong),
        "agreement": 1 - len(wrong) / len(test.wanted),
        "examples": sum(call not in wrong for call in published) / len(published) if published else float(not wrong),
    }
    told = [f"{call}: {got}, not {test.wanted[call]}"[:300] for call, got in list(wrong.items())[:20]]
    return {"metrics": metrics, "invalid": None, "details": {"inputs": len(test.wanted), "wrong": told}}
