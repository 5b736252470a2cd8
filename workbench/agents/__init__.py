"""Agents: how a model's replies become code actions, and what it is shown of their outcome."""

from __future__ import annotations

from workbench.agents.base import Agent
from workbench.errors import UsageError

NAMES = ("codeact", "codeact-tool")
"""``codeact`` asks for fenced Python, ``codeact-tool`` offers the tool ``execute_python``; both accept either."""


def make(name: str | Agent) -> Agent:
    """Return the agent called ``name``; an agent is passed through.

    Raises
    ------
    UsageError
        If there is no agent of that name, or what is given is none.

    Examples
    --------
    >>> make("codeact").name
    'codeact'
    """
    if not isinstance(name, str):
        if not isinstance(getattr(name, "name", None), str) or not callable(getattr(name, "work", None)):
            raise UsageError(f"{type(name).__name__} is not an agent", hint="pass a name, or an object with name and work()")
        return name
    if name not in NAMES:
        raise UsageError(f"no agent is called {name!r}", hint=f"there are: {', '.join(NAMES)}")
    from workbench.agents.codeact import CodeAct

    return CodeAct(offer_tool=name == "codeact-tool")
