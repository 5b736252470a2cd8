"""Hold the tools or the environment of a task where the agent's code cannot reach them, and call them when it asks.

Started by ``launch.py`` as ``broker.py HIDDEN ENTRY VARIANT``, the last as JSON. Reads a line of JSON a call,
``{"tool", "args", "kwargs"}``, and answers with one, ``{"result"}`` or ``{"error"}``; the first line says which tools there
are. It never imports workbench.
"""

import importlib.util
import inspect
import json
import os
import sys
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path

MOST = 4 * 2**20


def load(hidden: Path, entry: str, variant: "dict[str, str]") -> "dict[str, Callable]":
    """Return the tools by name: those of the mapping that ``FILE:NAME`` returns, or the public methods of its object.

    Where it has a parameter that is called as an axis of the variant, it is given the axis' value.
    """
    file, _, name = entry.partition(":")
    spec = importlib.util.spec_from_file_location("tools", hidden / file)
    module = importlib.util.module_from_spec(spec)
    sys.modules["tools"] = module
    sys.path[:0] = [str(hidden), str(Path(__file__).parent)]
    spec.loader.exec_module(module)
    make = getattr(module, name)
    made = make(**{axis: value for axis, value in variant.items() if axis in inspect.signature(make).parameters})
    if isinstance(made, Mapping):
        return dict(made)
    methods = inspect.getmembers(made, callable)
    return {name: method for name, method in methods if not name.startswith("_")}


def described(tools: "dict[str, Callable]") -> "list[dict[str, str]]":
    """Return each tool's name, signature and documentation."""
    return [{"name": name, "signature": _signature(tool), "doc": inspect.getdoc(tool) or ""} for name, tool in tools.items()]


def _signature(tool: "Callable") -> str:
    try:
        return str(inspect.signature(tool))
    except ValueError:
        # a function of Python's own, such as max
        return "(*args, **kwargs)"


def call(tools: "dict[str, Callable]", line: bytes) -> str:
    """Make one call and return the answer as JSON; whatever goes wrong in it is the caller's to know, without a trace of where."""
    try:
        asked = json.loads(line)
        answer = {"result": tools[asked["tool"]](*asked["args"], **asked["kwargs"])}
        text = json.dumps(answer, allow_nan=False)
        if len(text) > MOST:
            raise ValueError(f"the result has more than {MOST} bytes")
    except Exception as error:
        traceback.print_exc()
        text = json.dumps({"error": f"{type(error).__name__}: {error}"[:2000]})
    return text


def main() -> None:
    """Say which tools there are, then answer until nobody asks any more."""
    channel = os.dup(1)
    os.set_inheritable(channel, False)
    os.dup2(2, 1)
    sys.dont_write_bytecode = True
    try:
        tools = load(Path(sys.argv[1]), sys.argv[2], json.loads(sys.argv[3]))
        first = json.dumps({"tools": described(tools)})
    except BaseException:
        os.write(channel, json.dumps({"failed": traceback.format_exc()[-4000:]}).encode() + b"\n")
        return
    with open(channel, "wb") as answers:
        answers.write(first.encode() + b"\n")
        answers.flush()
        for line in sys.stdin.buffer:
            answers.write(call(tools, line).encode() + b"\n")
            answers.flush()


main()
