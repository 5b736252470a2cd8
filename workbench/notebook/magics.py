"""``%%agent`` asks an agent in plain words; ``%task`` runs a task of the registry."""

from __future__ import annotations

import contextlib
import re
import shlex
from typing import Any

from IPython.core.error import UsageError as MagicUsageError
from IPython.core.magic import Magics, line_cell_magic, line_magic, magics_class
from IPython.core.magic_arguments import argument, magic_arguments

from workbench import background, planning, runner
from workbench.errors import Interrupted, UsageError, WorkbenchError
from workbench.kernels import pool
from workbench.notebook.completion import complete
from workbench.notebook.feed import Feed
from workbench.notebook.tasks import TaskTable
from workbench.notebook.view import LiveView
from workbench.result import RunResult
from workbench.tasks import find, staging
from workbench.tasks.folder import Interactive, TaskFolder
from workbench.tasks.registry import survey

_BRACES = re.compile(r"\\(\{\{)|\{\{(.*?)\}\}", re.DOTALL)
_SHOWN = 60
"""How many characters of what stands in braces are repeated in an error."""


def _options(function: Any) -> Any:
    """Add the options that both magics take."""
    for option in reversed(
        [
            argument(
                "--model",
                "-m",
                help="PROVIDER/NAME for any model that litellm knows, oracle, nop, baseline, cheat, cassette:FILE or "
                "function:MODULE:NAME; by default WORKBENCH_MODEL",
            ),
            argument("--agent", default="codeact", help="codeact or codeact-tool"),
            argument("--sandbox", default="local", help="local, docker or e2b; or none, which has no walls"),
            argument("--max-steps", type=int, help="most model replies"),
            argument("--budget-usd", type=float, help="most US dollars"),
            argument("--timeout", type=float, help="most seconds of work"),
            argument("--base-url", help="of an OpenAI-compatible server"),
            argument("--store", help="the store file; by default WORKBENCH_STORE, else workbench.duckdb in the project folder"),
        ]
    ):
        function = option(function)
    return function


@magics_class
class WorkbenchMagics(Magics):  # type: ignore[misc]
    """The magics that ``%load_ext workbench`` registers."""

    @magic_arguments()
    @_options
    @argument("--environment", default="python-ds", help="the environment the kernel runs in")
    @line_cell_magic
    def agent(self, line: str, cell: str | None = None) -> RunResult | None:
        r"""Ask an agent to do what the cell says, in a sandboxed kernel of its own.

        ``{{name}}`` in the text is replaced by the value of that variable; write ``\{{`` for braces to keep.
        """
        given = _parsed(self.agent, line)
        if given is None:
            return None
        if cell is None:
            raise MagicUsageError("%%agent, with two signs, is for a whole cell: the task is what the cell says below")
        text = interpolate(cell, self.shell.user_ns).strip()
        if not text:
            raise MagicUsageError("%%agent needs a task: write it below, in plain words")
        environment = given.pop("environment")
        return _run(self.shell, lambda: Interactive(text, environment), given)

    @magic_arguments()
    @argument("action", choices=["run", "list", "show"], help="what to do")
    @argument("task", nargs="?", help="a task's id")
    @_options
    @argument("--judge", help="a model that judges what no program can, where the grader asks; by default WORKBENCH_JUDGE")
    @argument("--variant", action="append", default=[], help="AXIS=VALUE of the task's prompt; may be given again")
    @line_magic
    def task(self, line: str) -> Any:
        """Run a task of the registry: ``%task run ID --model oracle``; ``%task list``; ``%task show ID``."""
        given = _parsed(self.task, line)
        if given is None:
            return None
        action, name, pairs = given.pop("action"), given.pop("task"), given.pop("variant")
        if action == "list":
            return TaskTable(*survey())
        if name is None:
            raise MagicUsageError(f"%task {action} needs a task's id; %task list shows them")
        if action == "show":
            from IPython.display import Markdown

            return Markdown(_or_usage(lambda: _instruction(find(name))))
        bad = [pair for pair in pairs if "=" not in pair]
        if bad:
            raise MagicUsageError(f"--variant {bad[0]} has no '=': write AXIS=VALUE, for example level=lazy")
        return _run(self.shell, lambda: find(name), {**given, "variant": dict(pair.split("=", 1) for pair in pairs)})


def warm() -> None:
    """Begin to make a kernel of the default environment ready for the first cell that needs one, if it is built."""
    loop = background.loop()
    loop.call_soon_threadsafe(loop.run_in_executor, None, _warm)


def _warm() -> None:
    with contextlib.suppress(WorkbenchError, OSError):
        folder = Interactive("")
        environment = staging.environment_of(folder)
        if environment.built:
            policy = staging.policy_of(folder.task, environment)
            background.loop().call_soon_threadsafe(lambda: pool.of_this_loop().warm(environment, policy=policy))


def interpolate(text: str, names: dict[str, Any]) -> str:
    r"""Replace ``{{name}}`` by the variable's value, and ``\{{`` by two braces; any other brace is left as it is.

    Raises
    ------
    UsageError
        If there is no such variable, or something else than a name stands in the braces.

    Examples
    --------
    >>> interpolate("Plot {{column}} as {x}", {"column": "age"})
    'Plot age as {x}'
    >>> interpolate(r"Fill in \{{column}}", {})
    'Fill in {{column}}'
    """

    def value(match: re.Match[str]) -> str:
        if match[1]:
            return match[1]
        name, braces = match[2].strip(), match[0] if len(match[0]) <= _SHOWN else f"{match[0][:_SHOWN]}..."
        if not name.isidentifier():
            raise MagicUsageError(
                f"{braces}: only the name of a variable can stand between the braces: assign the value to one first; "
                "for braces that are to stay, write \\{{"
            )
        if name not in names:
            raise MagicUsageError(f"{braces}: there is no variable {name!r} in this notebook")
        return str(names[name])

    return _BRACES.sub(value, text)


def register(shell: Any) -> None:
    """Register the magics, with what they offer when Tab is pressed."""
    magics = WorkbenchMagics(shell)
    shell.register_magics(magics)
    shell.input_transformers_cleanup.append(help_alone)
    for name, magic in (("%task", magics.task), ("%%agent", magics.agent)):

        def completer(_: Any, event: Any, magic: Any = magic) -> list[str]:
            return complete(magic, event.text_until_cursor, event.symbol)

        shell.set_hook("complete_command", completer, re_key=f".*{name}\\b")


def help_alone(lines: list[str]) -> list[str]:
    """Make a question for help of a cell magic without a body, which IPython refuses, one of a line magic.

    Examples
    --------
    >>> help_alone(["%%agent --help"])
    ['%agent --help']
    """
    head, *rest = lines or [""]
    alone = head.startswith("%%agent") and not "".join(rest).strip() and {"--help", "-h"} & set(head.split())
    return [head[1:]] if alone else lines


def _parsed(magic: Any, line: str) -> dict[str, Any] | None:
    """Return the arguments of a magic; None if its help was asked for, which is then printed."""
    try:
        words = shlex.split(line)
    except ValueError as error:
        raise MagicUsageError(f"{line.strip()}: {error}") from None
    if {"--help", "-h"} & set(words):
        print(_help(magic))  # noqa: T201 - what was asked for
        return None
    given: dict[str, Any] = vars(magic.parser.parse_args(words))
    return given


def _help(magic: Any) -> str:
    """Return what IPython makes of a magic's arguments, without the marks of its markup."""
    text: str = magic.parser.format_help().removeprefix("::").strip()
    return text.replace("%agent", "%%agent", 1) if text.startswith("%agent") else text


def _instruction(folder: TaskFolder) -> str:
    return folder.instruction(folder.task.resolve_variant({}))


def _run(shell: Any, folder: Any, options: dict[str, Any]) -> RunResult:
    calls = background.Calls()
    feed = Feed(LiveView(), calls)
    given: dict[str, Any] = {**feed.listeners, **options}
    plan = _or_usage(lambda: planning.plan(folder(), **given))
    try:
        return background.wait(runner.execute(plan), calls)
    except Interrupted as interrupted:
        # the cell fails, so that no queued cell runs, but the run's result is still its output
        if interrupted.result is not None:
            shell.displayhook.update_user_ns(interrupted.result)
        raise


def _or_usage(function: Any) -> Any:
    """Return what ``function`` returns; errors that the user can fix are shown without a traceback."""
    try:
        return function()
    except UsageError as error:
        raise MagicUsageError(str(error)) from None
    except WorkbenchError as error:
        raise MagicUsageError(f"{error.kind} error: {error}") from None
