"""Run the tools or the environment of a task where the agent's code cannot reach them, and call them on request.

Started by ``launch.py`` as ``broker.py HIDDEN ENTRY VARIANT``, the last as JSON. The first line it writes lists the
tools. Then it reads one line for each call, ``NUMBER {"tool", "args", "kwargs"}``, and answers with a line that has the
same number, ``NUMBER {"result"}`` or ``NUMBER {"error"}``. It never imports workbench.
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


def call(tools: "dict[str, Callable]", asked: "dict") -> str:
    """Make one call and return the answer as JSON; whatever goes wrong in it is the caller's to know, without a trace of where."""
    try:
        answer = {"result": tools[asked["tool"]](*asked["args"], **asked["kwargs"])}
        text = json.dumps(answer, allow_nan=False)
        if len(text) > MOST:
            raise ValueError(f"the result has more than {MOST} bytes")
    except BaseException as error:
        # a tool that calls exit() ends only its own call
        text = json.dumps({"error": told(error)})
    return text


def told(error: BaseException) -> str:
    """Return what the caller is told about ``error``; the traceback goes to the log."""
    try:
        traceback.print_exc()
        return f"{type(error).__name__}: {error}"[:2000]
    except Exception:
        return type(error).__name__


def private(descriptor: int, instead: int) -> int:
    """Return a copy of ``descriptor`` that the tools do not know; they find ``instead`` in its place."""
    copy = os.dup(descriptor)
    os.dup2(instead, descriptor)
    return copy


def main() -> None:
    """List the tools, then answer until there are no more questions."""
    # what a tool prints or reads is not part of this exchange
    questions, channel = private(0, os.open(os.devnull, os.O_RDONLY)), private(1, 2)
    sys.dont_write_bytecode = True
    try:
        tools = load(Path(sys.argv[1]), sys.argv[2], json.loads(sys.argv[3]))
        first = json.dumps({"tools": described(tools)})
    except BaseException:
        os.write(channel, json.dumps({"failed": traceback.format_exc()[-4000:]}).encode() + b"\n")
        return
    with open(questions, "rb") as asked, open(channel, "wb") as answers:
        answers.write(first.encode() + b"\n")
        answers.flush()
        for line in asked:
            number, _, question = line.partition(b" ")
            answers.write(number + b" " + call(tools, json.loads(question)).encode() + b"\n")
            answers.flush()


main()
