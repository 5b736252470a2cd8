# %%
import ast
import re
import subprocess
import sys
from pathlib import Path

files = sorted(Path("mistune").rglob("*.py"))
for path in files:
    for number, line in enumerate(path.read_text().splitlines(), start=1):
        if re.search(r"\bescape\b", line):
            print(f"{path}:{number}: {line.strip()}")

# %%
# Many of these are arguments, re.escape or a rule's name. Where is mistune's own function imported, and under which name?
for path in files:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[-1] == "util":
            print(path, [(alias.name, alias.asname) for alias in node.names if alias.name == "escape"])

# %%
# Record what some documents render to before anything changes.
probe = """
import mistune
from mistune.directives import Admonition, RSTDirective
text = 'a <b> & "q" `<c>` HTML\\n\\n<div>x</div>\\n\\n*[HTML]: Hyper "T" <M>\\n\\n.. note:: A & b\\n   :class: c"d\\n'
for flag in (True, False):
    print(mistune.create_markdown(escape=flag, plugins=["abbr", "table", RSTDirective([Admonition()])])(text))
    print(mistune.html(text))
"""
before = subprocess.run([sys.executable, "-B", "-c", probe], capture_output=True, text=True, check=True).stdout
print(before)


# %%
def edit(name, *changes):
    """Make each replacement, which must fit exactly once."""
    path = Path("mistune") / name
    text = path.read_text()
    for old, new in changes:
        assert text.count(old) == 1, (name, old, text.count(old))
        text = text.replace(old, new)
    path.write_text(text)


edit("util.py", ("def escape(s: str", "def escape_html(s: str"), ("return escape(unescape(s))", "return escape_html(unescape(s))"))
edit(
    "__init__.py",
    ("from .util import escape, escape_url", "from .util import escape_html, escape_url"),
    ('    "escape",\n', '    "escape_html",\n'),
)
edit(
    "toc.py",
    ("from .util import escape, striptags", "from .util import escape_html, striptags"),
    ("format(escape(k)", "format(escape_html(k)"),
)
edit(
    "plugins/abbr.py", ("from ..util import escape\n", "from ..util import escape_html\n"), ("+ escape(title) +", "+ escape_html(title) +")
)
for name in ("renderers/html.py", "directives/admonition.py"):
    edit(name, ("from ..util import escape as escape_text", "from ..util import escape_html as escape_text"))

# %%
after = subprocess.run([sys.executable, "-B", "-c", probe], capture_output=True, text=True, check=True).stdout
check = "import mistune, mistune.toc; print(mistune.escape_html('<'), hasattr(mistune, 'escape'), hasattr(mistune.util, 'escape'))"
assert before == after
print(subprocess.run([sys.executable, "-B", "-c", check], capture_output=True, text=True, check=True).stdout)
for path in files:
    for number, line in enumerate(path.read_text().splitlines(), start=1):
        if re.search(r"(?<!re\.)\bescape\(|import .*\bescape\b", line):
            print(f"left: {path}:{number}: {line.strip()}")
