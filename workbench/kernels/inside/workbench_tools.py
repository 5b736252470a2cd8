"""Functions in the agent's namespace that ask for what lies outside the kernel: a task's tools or its environment."""

import json

from IPython import get_ipython


class ToolError(Exception):
    """A tool could not do what it was asked, and says why."""


def install(tools: "list[dict[str, str]]") -> None:
    """Put a function into the namespace for each tool, with its signature and documentation."""
    get_ipython().user_ns.update({tool["name"]: _function(**tool) for tool in tools})


def _function(name: str, signature: str, doc: str) -> object:
    def ask(*args: object, **kwargs: object) -> object:
        answer = json.loads(get_ipython().kernel.raw_input(json.dumps({"tool": name, "args": args, "kwargs": kwargs})))
        if "error" in answer:
            raise ToolError(answer["error"])
        return answer["result"]

    ask.__name__ = ask.__qualname__ = name
    ask.__doc__ = f"{name}{signature}\n\n{doc}"
    return ask
