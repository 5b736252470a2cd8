# %%
import ast
import re
import subprocess
import sys
from pathlib import Path

NAMES = ["_ansi_re", "strip_ansi", "_is_jupyter_kernel_output", "should_strip_ansi", "term_len"]
pattern = "\\|".join(f"\\b{name}\\b" for name in NAMES)
print(subprocess.run(["grep", "-rn", pattern, "click", "--include=*.py"], capture_output=True, text=True).stdout)

# %%
# Record what some output looks like before anything changes, under the test runner too, which replaces one of the functions.
probe = """
import io, os
os.environ["COLUMNS"] = "60"
import click
from click.testing import CliRunner
red = click.style("red", fg="red")
@click.command(help=f"Some {red} words. " * 9)
@click.option("--name", prompt=red, default="x")
def main(name):
    click.echo(red + name)
    click.confirm(red, err=True)
for color in (False, True):
    print(repr(CliRunner().invoke(main, input="n\\ny\\n", color=color).output))
    print(repr(CliRunner().invoke(main, ["--help"], color=color).output))
class Notebook(io.StringIO):
    __module__ = "ipykernel.iostream"
for stream in (io.StringIO(), Notebook()):
    click.echo(red, file=stream)
    print(repr(stream.getvalue()))
print(repr(click.wrap_text(f"{red} words " * 9, 20)))
"""
before = subprocess.run([sys.executable, "-B", "-c", probe], capture_output=True, text=True, check=True).stdout
print(before)

# %%
# Cut the five definitions out of _compat.py, with the comment above the pattern, and see what they need from there.
compat = Path("click/_compat.py")
text = compat.read_text()
lines = text.splitlines(keepends=True)
moved, cut = [], []
for node in ast.parse(text).body:
    name = node.targets[0].id if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) else getattr(node, "name", None)
    if name in NAMES:
        start = node.lineno - 1
        while lines[start - 1].startswith("#"):
            start -= 1
        moved.append("".join(lines[start : node.end_lineno]))
        cut.append((start, node.end_lineno))
for start, end in reversed(cut):
    while not lines[start - 1].strip():
        start -= 1
    lines[start:end] = []
compat.write_text("".join(lines).replace("\nimport re\n", "\n"))
header = """from __future__ import annotations

import re
import sys
import typing as t

from ._compat import _FixupStream
from ._compat import _NonClosingTextIOWrapper
from ._compat import isatty

"""
Path("click/_ansi.py").write_text(header + "\n\n".join(moved))
print(Path("click/_ansi.py").read_text())
left = compat.read_text()
print([name for name in NAMES if name in left], "re." in left)
print(subprocess.run(["sed", "-n", "10,25p", "click/_compat.py"], capture_output=True, text=True).stdout)

# %%
# Now those who import one of them by name, and the two that reach it through the module.
for path in sorted(Path("click").glob("*.py")):
    source = path.read_text()
    for name in NAMES:
        source = source.replace(f"from ._compat import {name}\n", f"from ._ansi import {name}\n")
    source = re.sub(r"(click)?\._compat\.(should_strip_ansi|term_len)`", r"\1._ansi.\2`", source)
    if path.name in ("termui.py", "testing.py"):
        source = source.replace("old__compat_should_strip_ansi", "old__ansi_should_strip_ansi")
        source = source.replace("_compat.should_strip_ansi", "_ansi.should_strip_ansi").replace(
            "from . import _compat\n", "from . import _ansi\n"
        )
        assert "_compat." not in source.replace("from ._compat", "")
    path.write_text(source)

# %%
after = subprocess.run([sys.executable, "-B", "-c", probe], capture_output=True, text=True, check=True).stdout
assert before == after
found = subprocess.run(
    ["grep", "-rn", "_compat.*ansi\\|_compat.*term_len\\|_ansi import\\|import _ansi", "click"], capture_output=True, text=True
)
print(found.stdout)
