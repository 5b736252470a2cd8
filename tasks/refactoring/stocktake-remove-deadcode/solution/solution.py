# %%
import ast
import re
import subprocess
import sys
from pathlib import Path

files = {path: path.read_text() for path in sorted(Path("stocktake").iterdir()) if path.is_file()}
for path, text in files.items():
    print(f"--- {path}\n{text}")

# %%
# Which names occur nowhere but where they are defined? That is only a beginning: what only dead code uses is dead too,
# and commands, checks, readers and writers are reached by other ways.
everything = "\n".join(files.values())
for path, text in files.items():
    if path.suffix == ".py":
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.ClassDef) and len(re.findall(rf"\b{node.name}\b", everything)) == 1:
                print(path, node.name)

# %%
# Record what the program does before anything is changed.
Path("/tmp/a.csv").write_text("name,quantity,price,shelf\nnails,-2,0.021,B\nhammer,3,19.99,A\n<saw>,1,24.5,\n")
Path("/tmp/b.jsonl").write_text('{"name": "glue", "quantity": 1, "price": 4}\n')
RUNS = [[command, file] for command in ("report", "check", "convert") for file in ("/tmp/a.csv", "/tmp/b.jsonl", "/tmp/c.xml")]
RUNS += [["report", "/tmp/a.csv", "--format", form] for form in ("html", "short", "none")] + [["import", "x"]]


def behaviour():
    command = [sys.executable, "-B", "-m", "stocktake"]
    return [
        (done.returncode, done.stdout, done.stderr)
        for done in (subprocess.run([*command, *arguments], capture_output=True, text=True) for arguments in RUNS)
    ]


before = behaviour()
print(*before, sep="\n")


# %%
def drop(module, *names, imports=()):
    """Remove definitions (the first, if there are several) by their names in the module, and replace imports."""
    path = Path(f"stocktake/{module}.py")
    for name in names:
        lines = path.read_text().splitlines(keepends=True)
        body = ast.parse("".join(lines)).body
        *owners, last = name.split(".")
        for owner in owners:
            body = next(node.body for node in body if getattr(node, "name", None) == owner)
        node = next(
            node
            for node in body
            if getattr(node, "name", None) == last or (isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == last)
        )
        first = min([node.lineno, *(each.lineno for each in getattr(node, "decorator_list", []))])
        path.write_text("".join([*lines[: first - 1], *lines[node.end_lineno :]]))
    text = path.read_text()
    for old, new in imports:
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    path.write_text(re.sub(r"\n{4,}", "\n\n\n", text).rstrip("\n") + "\n")


Path("stocktake/legacy.py").unlink()
tail = '    if colour_wanted():\n        print("\\033[0m", end="")\n'
drop("cli", "Verbosity", "colour_wanted", imports=[("import os\n", ""), (tail, "")])
drop("commands", "Commands.do_import", "Commands._credentials", imports=[("import getpass\n", "")])
never = '    if False:\n        print(f"{len(rows)} rows")\n        rows = rows[:10]\n'
unused = ["BrokenFile", "read_xml", "_text_of", "read_lines", "_next_line"]
drop("readers", *unused, imports=[("import xml.etree.ElementTree\n", ""), (never, "")])
drop(
    "models",
    *("VAT", "Item.gross", "Item.as_tuple", "Item.from_tuple", "Batch"),
    imports=[("import astuple, dataclass, field", "import dataclass")],
)
late = '    return f"price {item.price} is odd"\n'
drop("rules", "TOLERANCE", "old_check_price", "_close", imports=[("import math\n\n", ""), (late, "")])
drop("plugins", "available")
drop("writers", "ShortWriter.subtitle", "CsvWriter")
drop("markup", "Escaping.unescape", "HtmlWriter.caption", imports=[("from stocktake.texts import WIDTH, shorten\n", "")])
drop("texts", "ELLIPSIS", "shorten", "money")
drop("encoding", "batch_of", imports=[("import Batch, Item", "import Item")])

# %%
assert behaviour() == before
for path in sorted(Path("stocktake").glob("*.py")):
    print(f"--- {path}\n{path.read_text()}")
