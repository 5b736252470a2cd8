"""Check that a function of a package was renamed, everywhere and with nothing else changed.

The function stands in every fingerprint as one placeholder, whether it bears its old name or its new one. So the rename leaves them
as they were, while a keyword argument or another function that was renamed along with it does not.
"""

import json
from pathlib import Path

from workbench_grading.code import ask, import_all, read_package, verdict

PACKAGE = "mistune"
HOME = "mistune.util"  # the module that defines the function
OLD, NEW = "escape", "escape_html"
SAME = {f"{HOME}.{OLD}": "@target", f"{HOME}.{NEW}": "@target"}

BEHAVIOUR = """
mistune = importlib.import_module("mistune")
util = importlib.import_module("mistune.util")
directives = importlib.import_module("mistune.directives")
toc = importlib.import_module("mistune.toc")

def run(kind, text, options):
    if kind == "function":
        name = given["name"]
        return [getattr(util, name)(text, **options), getattr(mistune, name)(text, **options), util.safe_entity(text)]
    if kind == "markdown":
        return mistune.create_markdown(**options)(text)
    if kind == "renderer":
        return mistune.Markdown(mistune.HTMLRenderer(**options))(text)
    if kind == "directive":
        plugin = directives.RSTDirective([directives.Admonition(), directives.TableOfContents()])
        return mistune.create_markdown(plugins=[plugin], **options)(text)
    if kind == "toc":
        return toc.render_toc_ul([tuple(item) for item in text])
    raise ValueError(kind)

print(json.dumps([run(*case) for case in given["cases"]]))
"""

CASES = [
    ["function", "<a href=\"x\">&amp; 'y'</a>", {}],
    ["function", '<a href="x">&</a>', {"quote": False}],
    ["markdown", 'a <b>bold</b> & "q" `<c>` \\* [l](/u?a=1&b=2 \'ti"tle\')\n\n<div>x</div>\n', {"escape": True}],
    ["markdown", 'a <b>bold</b> & "q" `<c>` \\* [l](/u?a=1&b=2 \'ti"tle\')\n\n<div>x</div>\n', {"escape": False}],
    ["markdown", '*[HTML]: Hyper "Text" <Markup>\n*[C++]: a & b\n\nHTML and C++ here\n', {"escape": True, "plugins": ["abbr"]}],
    [
        "markdown",
        "~~x~~ [^1] <i>\n\n[^1]: a <note>\n\n| a | b |\n|---|---|\n| `<` | 2 |\n",
        {"plugins": ["strikethrough", "footnotes", "table"]},
    ],
    ["renderer", '<em>x</em>\n\n```py<t>\nif a < b & c:\n```\n\n![a"b](/i.png)\n', {"escape": False}],
    ["renderer", '<em>x</em>\n\n```py<t>\nif a < b & c:\n```\n\n![a"b](/i.png)\n', {"escape": True}],
    ["directive", '.. note:: A "title" & <more>\n   :class: c"<d>\n\n   body <x>\n', {"escape": True}],
    ["directive", ".. toc:: Content <b>\n\n# One & <two>\n\n## Three\n", {"escape": False}],
    ["toc", [[1, 'a"<b>', "One"], [2, "c&d", "Two"]], {}],
]


def behaviour(name: str, submission: Path) -> object:
    return ask(BEHAVIOUR, submission, {"name": name, "cases": CASES})


def grade(submission: Path, hidden: Path) -> dict:
    expected = json.loads((hidden / "expected.json").read_text(encoding="utf-8"))
    package = read_package(submission / PACKAGE, SAME)
    home, top = package.modules.get(HOME), package.modules.get(PACKAGE)
    exported = (top.exported if top else None) or []
    old_users = package.paths(package.users(f"{HOME}.{OLD}"))
    new_users = package.paths(package.users(f"{HOME}.{NEW}"))
    leftovers = sorted(old_users | {module.path for module in package.modules.values() if OLD in module.bindings})
    # none of these holds on the untouched package
    checks = {
        f"{HOME} defines {NEW}": home is not None and NEW in home.defined,
        f"{HOME} has no {OLD}": home is not None and OLD not in home.bindings,
        f"{PACKAGE} exports {NEW} and not {OLD}": NEW in exported and OLD not in exported,
        f"no module holds on to {OLD}": not leftovers and not package.broken,
    }
    for path in expected["users"]:
        checks[f"{path} refers to {NEW}"] = path in new_users - old_users

    changes = package.changes(expected["fingerprints"])
    imports = import_all(PACKAGE, submission) == expected["modules"]
    behaves = behaviour(NEW, submission) == expected["behaviour"]
    return verdict(package, checks, changes, imports=imports, behaviour=behaves, leftovers=leftovers)
