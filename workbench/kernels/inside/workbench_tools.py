"""Functions in the agent's namespace that call a task's tools or its environment, which run outside the kernel.

Questions and answers are numbered: ``NUMBER JSON``. If a cell is interrupted while it waits, the answer still arrives,
and the next question may receive it first. The number shows that, and the next question then asks for its own answer
again by sending only its number.
"""

import itertools
import json
import os
import threading

from IPython import get_ipython

MOST = 2**20

_numbers = itertools.count(1)
_one_at_a_time = threading.Lock()
_asking = None
"""The thread that waits for an answer."""
_kernel = 0
"""The only process that may ask: a forked child would read answers meant for it."""


class ToolError(Exception):
    """A tool could not do what it was asked, and says why."""


def install(tools: "list[dict[str, str]]") -> None:
    """Put a function into the namespace for each tool, with its signature and documentation."""
    global _kernel
    _kernel = os.getpid()
    get_ipython().user_ns.update({tool["name"]: _function(**tool) for tool in tools})


def _function(name: str, signature: str, doc: str) -> object:
    def ask(*args: object, **kwargs: object) -> object:
        try:
            question = json.dumps({"tool": name, "args": args, "kwargs": kwargs})
        except (TypeError, ValueError, RecursionError) as error:
            raise ToolError(f"the arguments of {name} cannot be sent as JSON: {error}") from None
        answer = _answer(question)
        if "error" in answer:
            raise ToolError(answer["error"])
        return answer["result"]

    ask.__name__ = ask.__qualname__ = name
    ask.__doc__ = f"{name}{signature}\n\n{doc}"
    return ask


def _answer(question: str) -> dict:
    """Ask, and return the answer to exactly this question; threads wait for each other."""
    global _asking
    if len(question) > MOST:
        raise ToolError(f"the arguments have more than {MOST} bytes")
    if os.getpid() != _kernel:
        raise ToolError("the task's functions can be called in the kernel's own process only, not in one that it started")
    if _asking == threading.get_ident():
        raise ToolError("this thread is waiting for the answer to another call")
    ask = get_ipython().kernel.raw_input
    with _one_at_a_time:
        try:
            _asking = threading.get_ident()
            number = str(next(_numbers))
            answered, _, answer = ask(f"{number} {question}").partition(" ")
            while answered != number:
                answered, _, answer = ask(number).partition(" ")
        finally:
            _asking = None
    return json.loads(answer)
