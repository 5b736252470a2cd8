"""Print M3ToolEval's tasks, from its own code, as JSON; run behind walls with the package ``tasks`` at ``/checkout/tasks``."""

import contextlib
import io
import json
import sys
import types


def upstream() -> list:
    """Return upstream's task objects."""
    # a progress bar that is no part of what is asked
    sys.modules["tqdm"] = types.ModuleType("tqdm")
    sys.modules["tqdm"].tqdm = lambda *_, **__: types.SimpleNamespace(update=lambda _: None)
    sys.path.insert(0, "/checkout")
    with contextlib.redirect_stdout(io.StringIO()):
        import tasks

        return list(tasks.get_task_iterator())


def main() -> None:
    """Print a list of tasks."""
    found = []
    for task in upstream():
        tools = [{"name": name, "description": tool.description, "signature": tool.fn_signature} for name, tool in task.tools.items()]
        said = {"name": task.name, "instruction": task.instruction, "single": task.is_single_tool_task, "answer": str(task.expected_output)}
        found.append({**said, "tools": tools})
    print(json.dumps(found))


main()
