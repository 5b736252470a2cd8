"""Check that definitions moved to another module, that all who use them followed, and that nothing else changed.

Each stands in every fingerprint as one placeholder, wherever it is defined. So the move leaves them as they were.
"""

import json
from pathlib import Path

from workbench_grading.code import ask, import_all, read_package, verdict

PACKAGE = "click"
OLD, NEW = "click._compat", "click._ansi"
MOVED = ["_ansi_re", "strip_ansi", "_is_jupyter_kernel_output", "should_strip_ansi", "term_len"]
SAME = {f"{module}.{name}": f"@{name}" for module in (OLD, NEW) for name in MOVED}
# this method replaces one of them, and has a local variable that is called after its old place
PATCHES = "click.testing.CliRunner.isolation"
MAY_CHANGE = ["*.<imports>", "click/_ansi.py", f"{NEW}.__all__", PATCHES]
WINDOWS = ("click._winconsole",)

BEHAVIOUR = """
import io, os
os.environ.update(COLUMNS="70", LINES="24", TERM="xterm")
for name in ("NO_COLOR", "FORCE_COLOR"):
    os.environ.pop(name, None)
import click
from click import testing, termui, utils

class Terminal(io.StringIO):
    def isatty(self):
        return True

class Broken(io.StringIO):
    def isatty(self):
        raise ValueError("closed")

class Notebook(io.StringIO):
    pass
Notebook.__module__ = "ipykernel.iostream"

RED = click.style("red text", fg="red", bold=True)
LINK = "\\x1b[38:2:1:2:3mtrue\\x1b[0m \\x1b[?25lcolour"
said = {"unstyle": [click.unstyle(RED), click.unstyle(LINK)]}

for kind in (io.StringIO, Terminal, Broken, Notebook):
    for color in (None, True, False):
        stream = kind()
        click.echo(RED + LINK, file=stream, color=color)
        said[f"echo {kind.__name__} {color}"] = stream.getvalue()

@click.command(help=f"Does {RED} things. " * 6, epilog=LINK)
@click.option("--name", prompt=click.style("Your name", fg="green"), default="x", help=f"The {RED} name of somebody to greet.")
@click.option("--secret", prompt=RED, hide_input=True, default="y")
@click.option("--" + "long-option" * 3, help="l" * 100)
def main(name, secret, **more):
    click.echo(f"{RED} {name}")
    click.secho(secret, fg="blue", err=True)
    click.confirm(click.style("Sure?", fg="yellow"), default=True)
    click.confirm(RED, err=True, default=False)
    click.echo_via_pager(LINK)
    with click.progressbar(range(3), label=RED, file=sys.stdout) as bar:
        for _ in bar:
            pass
    raise click.ClickException(RED)

before = [vars(module).get("should_strip_ansi") for module in (utils, importlib.import_module(given["home"]))]
for color in (False, True):
    result = testing.CliRunner().invoke(main, input="me\\nsecret\\ny\\nn\\n", color=color)
    said[f"run {color}"] = [result.exit_code, result.output, result.stdout, result.stderr]
    result = testing.CliRunner().invoke(main, ["--help"], color=color)
    said[f"help {color}"] = [result.exit_code, result.output]
after = [vars(module).get("should_strip_ansi") for module in (utils, importlib.import_module(given["home"]))]
said["put back"] = all(one is two and one is not None for one, two in zip(before, after))

with testing.CliRunner().isolation(input="typed\\n", color=True) as streams:
    click.prompt(RED, err=True)
    click.echo(RED)
    said["isolated"] = [stream.getvalue().decode() for stream in streams]

formatter = click.HelpFormatter(width=40)
with formatter.section(RED):
    formatter.write_usage(RED, f"[OPTIONS] {LINK} " * 4, prefix=click.style("Usage: ", bold=True))
    formatter.write_dl([(RED, "what it is " * 6), (LINK, click.style("styled " * 12, fg="cyan")), ("-" * 30, "long")])
    formatter.write_text(f"Some {RED} text, " * 8)
said["formatter"] = formatter.getvalue()
said["wrap"] = [click.wrap_text(f"{RED} and {LINK} " * 5, width, initial_indent=RED, subsequent_indent="  ") for width in (20, 33, 60)]
said["wrap"].append(click.wrap_text(click.style("x" * 50, fg="red") + " y", 12))
TextWrapper = importlib.import_module("click._textwrap").TextWrapper
said["wrap"] += [TextWrapper(n, max_lines=2, placeholder=click.style("...", dim=True)).wrap(f"{RED} " * 9) for n in (12, 25)]
for show in ({}, {"show_pos": True, "show_percent": False}):
    stream = Terminal()
    show = {**show, "show_eta": False, "fill_char": click.style("#", fg="red")}
    with click.progressbar(length=4, label=RED, file=stream, width=20, color=True, **show) as bar:
        bar.update(1)
        said[f"bar {sorted(show)}"] = bar.format_progress_line()
    said[f"bar done {sorted(show)}"] = stream.getvalue().replace("\\r", "|")
print(json.dumps(said))
"""


def behaviour(submission: Path, home: str = NEW) -> object:
    return ask(BEHAVIOUR, submission, {"home": home})


def grade(submission: Path, hidden: Path) -> dict:
    expected = json.loads((hidden / "expected.json").read_text(encoding="utf-8"))
    package = read_package(submission / PACKAGE, SAME)
    old, new = package.modules.get(OLD), package.modules.get(NEW)
    checks = {
        f"{name} is in {NEW} only": new is not None
        and old is not None
        and new.bindings.get(name) == f"{NEW}.{name}"
        and name not in old.bindings
        for name in MOVED
    }
    leftovers = sorted({name for each in MOVED for name in package.users(f"{OLD}.{each}")})
    followed = package.paths(name for each in MOVED for name in package.users(f"{NEW}.{each}")) - package.paths(leftovers)
    for path in expected["users"]:
        checks[f"{path} uses {NEW}"] = path in followed
    checks[f"nothing looks in {OLD}"] = not leftovers and not package.broken
    return verdict(
        package,
        checks,
        package.changes(expected["before"], MAY_CHANGE),
        imports=import_all(PACKAGE, submission, WINDOWS) == expected["modules"],
        behaviour=behaviour(submission) == expected["behaviour"],
        leftovers=leftovers,
    )
