# %%
import ast
import subprocess
import sys
from pathlib import Path

files = sorted(Path("tomlkit").rglob("*.py"))
print(
    subprocess.run(
        ["grep", "-rn", "import item\\|_sort_keys\\|_parent", "tomlkit", "--include=*.py"], capture_output=True, text=True
    ).stdout
)

# %%
# What do some documents become before anything changes?
probe = """
import tomlkit
nested = {"b": {"z": 1, "a": [{"y": 1, "x": {"d": 1}}]}, "a": [1, "two", {"k": 1}]}
print(tomlkit.dumps(nested), tomlkit.dumps(nested, sort_keys=True))
document = tomlkit.parse("[a.b]\\nx = 1\\n[c]\\n[a.d]\\nl = [1]\\n[[t]]\\nq = 1\\n")
document["new"], document["a"]["d"], document["t"][0] = nested, {"o": [{"p": 1}]}, {"r": [{"s": 1}]}
document["c"].raw_append("raw", [{"r": 1}])
document.append("more", [{"x": 1}])
print(document.as_string())
def encode(value, _parent=None, _sort_keys=False):
    return tomlkit.string(f"{value} {type(_parent).__name__} {_sort_keys}")
tomlkit.register_encoder(encode)
print(tomlkit.dumps({"c": [1j], "d": 2j}, sort_keys=True))
"""
before = subprocess.run([sys.executable, "-B", "-c", probe], capture_output=True, text=True, check=True).stdout
print(before)


# %%
# The function is called by its name in each module, `_item` and `_item_fn` in container.py. Variables called `item` are not called, methods
# are attributes: so a call of such a bare name is what we look for.
NAMES = {"api.py": {"item"}, "items.py": {"item"}, "container.py": {"_item", "_item_fn"}}
RENAMED = {"_parent": "parent", "_sort_keys": "sort_keys"}


def rewrite(source, names):
    """Return the source with every call of these names given in the new way."""
    lines = source.encode().splitlines(keepends=True)
    starts = [sum(map(len, lines[:number])) for number in range(len(lines))]
    text, edits = source.encode(), []
    for node in ast.walk(ast.parse(source)):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in names):
            continue
        assert len(node.args) == 1, ast.unparse(node)
        for keyword in node.keywords:
            at = starts[keyword.lineno - 1] + keyword.col_offset
            edits.append((at, at + len(keyword.arg), RENAMED[keyword.arg]))
        if "_parent" not in {keyword.arg for keyword in node.keywords}:
            at = starts[node.args[0].end_lineno - 1] + node.args[0].end_col_offset
            edits.append((at, at, ", parent=None"))
        print(node.lineno, ast.unparse(node))
    for start, end, new in sorted(edits, reverse=True):
        text = text[:start] + new.encode() + text[end:]
    return text.decode()


for name, names in NAMES.items():
    path = Path("tomlkit") / name
    print(path)
    path.write_text(rewrite(path.read_text(), names))

# %%
# The definition: the overloads have the defaults `...`, one spells its parameters over two lines.
path = Path("tomlkit/items.py")
text = path.read_text()
begin = text.index("@overload\ndef item(")
end = text.index("\ndef _format_time")
body = text[begin:end]
for old, new in (
    ("_parent: Item | None = ..., _sort_keys: bool", "*, parent: Item | None, sort_keys: bool"),
    ("_parent: Array = ..., _sort_keys: bool", "*, parent: Array, sort_keys: bool"),
    ("_parent: Item | None = None, _sort_keys: bool", "*, parent: Item | None, sort_keys: bool"),
    ("isinstance(_parent, (Array", "isinstance(parent, (Array"),
    ("(_parent is None or isinstance(_parent, Table))", "(parent is None or isinstance(parent, Table))"),
    ("i[0]) if _sort_keys else", "i[0]) if sort_keys else"),
    ("i[0] if _sort_keys else", "i[0] if sort_keys else"),
    ("parent=val, sort_keys=_sort_keys", "parent=val, sort_keys=sort_keys"),
    ("parent=table, sort_keys=_sort_keys", "parent=table, sort_keys=sort_keys"),
    ("_parent=_parent, _sort_keys=_sort_keys", "_parent=parent, _sort_keys=sort_keys"),
):
    assert old in body, old
    body = body.replace(old, new)
path.write_text(text[:begin] + body + text[end:])
api = Path("tomlkit/api.py")
api.write_text(api.read_text().replace("item(value, _parent=tbl, _sort_keys=_sort_keys)", "item(value, parent=tbl, sort_keys=_sort_keys)"))
print(body[:3500])

# %%
after = subprocess.run([sys.executable, "-B", "-c", probe], capture_output=True, text=True, check=True).stdout
assert before == after
print(subprocess.run(["grep", "-rn", "_sort_keys\\|_parent\\b", "tomlkit", "--include=*.py"], capture_output=True, text=True).stdout)
