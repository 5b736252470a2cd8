"""Models that need no provider: the oracle, nop and cheat, the three every task is checked with."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from importlib import resources

from workbench.errors import UsageError
from workbench.messages import Message, Reply, Tool


class Scripted:
    """Plays cells as code actions, one a reply, then says that it is done.

    Parameters
    ----------
    name : str
        How the record names it.
    cells : sequence of str
        The code to run.
    answer : str, optional
        The final answer of a task that wants one.

    Examples
    --------
    >>> import asyncio
    >>> model = Scripted("oracle", ["print(1)"])
    >>> print(asyncio.run(model.reply([])).text)
    ```python
    print(1)
    ```
    >>> print(asyncio.run(model.reply([])).text)
    <done/>
    """

    sees_images = False

    def __init__(self, name: str, cells: Sequence[str], answer: str | None = None) -> None:
        self.name = name
        self._replies = [*map(fenced, cells), "<done/>" if answer is None else f"<answer>{answer}</answer>"]
        self._next = 0

    async def reply(
        self,
        messages: Sequence[Message],  # noqa: ARG002 - the protocol's
        *,
        tools: Sequence[Tool] = (),  # noqa: ARG002
        on_text: Callable[[str], None] | None = None,
    ) -> Reply:
        """Return the next cell, and after the last one always the end."""
        text = self._replies[min(self._next, len(self._replies) - 1)]
        self._next += 1
        if on_text is not None:
            on_text(text)
        return Reply(text=text, cost_usd=0.0)


def fenced(code: str) -> str:
    """Return ``code`` in a fence longer than any within it."""
    longest = max((len(run) for run in re.findall(r"`{3,}", code)), default=2)
    fence = "`" * (longest + 1)
    return f"{fence}python\n{code}\n{fence}"


def oracle(cells: Sequence[str], answer: str | None) -> Scripted:
    """Return the model that plays a task's reference solution."""
    return Scripted("oracle", cells, answer)


def nop() -> Scripted:
    """Return the model that does nothing and says it is done."""
    return Scripted("nop", [], None)


TOGETHER = ("hunt", "memory", "datasets", "overwrite", "shadow", "forge", "daemon")
"""What a cheat tries in one run, by name; each is a file of ``tricks/``."""
ALONE = ("link", "hardlink", "enormous", "malformed")
"""Tricks with the submission itself, which would undo each other."""
OF_PROGRAMS = ("elsewhere", "sabotage")
"""Tricks that a submitted program plays while it is graded."""
TRICKS = (*TOGETHER, *ALONE, *OF_PROGRAMS)


def cheat(trick: str, submission_path: str | None) -> Scripted:
    """Return a model that tries to score without solving: it hunts for graders and answers and plants forgeries.

    Parameters
    ----------
    trick : str
        One of ``TRICKS``, or empty for all that do not undo each other.
    submission_path : str or None
        Where the task expects the submission.

    Raises
    ------
    UsageError
        If there is no such trick.

    Examples
    --------
    >>> cheat("link", "submission.csv").name
    'cheat:link'
    """
    if trick and trick not in TRICKS:
        raise UsageError(f"no trick is called {trick!r}", hint=f"there are: {', '.join(TRICKS)}")
    chosen = [trick] if trick else TOGETHER
    folder = resources.files("workbench.models") / "tricks"
    cells = [f"SUBMISSION = {submission_path or 'answer.txt'!r}", *((folder / f"{name}.py").read_text(encoding="utf-8") for name in chosen)]
    return Scripted(f"cheat:{trick}" if trick else "cheat", cells, "1.0")
