"""Check that a function's signature changed with all its overloads and calls, and that nothing else did."""

import json
from pathlib import Path

from workbench_grading.code import ask, import_all, read_package, verdict

PACKAGE = "tomlkit"
TARGET = "tomlkit.items.item"
OVERLOADS = 13
SIGNATURE, OVERLOAD = "value, *, parent, sort_keys=False", "value, *, parent, sort_keys=..."

BEHAVIOUR = """
import datetime, inspect, io
tomlkit = importlib.import_module("tomlkit")
items = importlib.import_module("tomlkit.items")

def item(value, **options):
    # the names of the untouched package, with which the answers were recorded, or the new ones
    renamed = {given["names"].get(name, name): option for name, option in options.items()}
    if given["names"]["parent"] == "parent":
        renamed.setdefault("parent", None)
    return tomlkit.item(value, **renamed)

def shown(value):
    return [type(value).__name__, value.as_string()]

def refused(call):
    try:
        call()
    except TypeError:
        return True
    except Exception as error:
        return type(error).__name__
    return False

NESTED = {"b": {"z": 1, "a": [{"y": 1, "x": {"d": 1}}, {"x": 2}]}, "a": [1, "two", 3.5, True], "c": [[{"k": 1}], []]}
TEXT = '''
title = "x" # comment
[owner]
name = "n"
list = [
  1,
]
[a.b]
x = 1
[c]
y = 1
[a.d]
z = 2
[[aot]]
q = 1
'''
said = {}
parents = {"none": None, "array": tomlkit.array(), "inline": tomlkit.inline_table(), "table": tomlkit.table(), "aot": tomlkit.aot()}
for name, parent in parents.items():
    for sort_keys in (False, True):
        for number, value in enumerate((NESTED, [{"b": 1, "a": {"c": [{"z": 1}]}}], [1, {"b": 2, "a": 1}], [], (1, 2), "s", 1.5)):
            said[f"item {name} {sort_keys} {number}"] = shown(item(value, parent=parent, sort_keys=sort_keys))
for value in (datetime.datetime(2024, 3, 5, 1, 2, 3), datetime.date(2024, 3, 5), datetime.time(1, 2, 3), True, 7):
    said[f"item {value}"] = shown(item(value))

said["dumps"] = [tomlkit.dumps(NESTED), tomlkit.dumps(NESTED, sort_keys=True), tomlkit.dumps(tomlkit.parse(TEXT), sort_keys=True)]
said["api"] = [shown(make(text)) for make, text in (
    (tomlkit.integer, "3"), (tomlkit.float_, "2.5"), (tomlkit.boolean, "true"), (tomlkit.boolean, False), (tomlkit.date, "2024-03-05"),
    (tomlkit.time, "01:02:03"), (tomlkit.datetime, "2024-03-05T01:02:03Z"))]

document = tomlkit.parse(TEXT)
document["new"] = NESTED
document["title"] = [{"a": 1}, {"b": [2]}]
document["owner"]["list"].append({"k": [{"v": 1}]})
document["owner"]["list"].insert(0, [{"a": 1}])
document["owner"]["list"][1] = {"changed": {"deep": [1]}}
document["owner"]["list"].add_line(5, {"x": 1}, comment="c")
document["owner"].append("more", [{"m": 1}, {"m": {"n": 2}}])
document["owner"].raw_append("raw", [{"r": 1}])
document["owner"]["table"] = {"k": [{"a": 1}]}
document["a"]["d"] = {"over": [{"a": 1}]}
document["a"]["e"] = [{"f": 1}]
document["aot"].insert(0, {"first": [{"deep": 1}]})
document["aot"][1] = {"second": {"s": 1}}
document["aot"].append({"third": 3})
document.append("appended", [{"x": 1}])
inline = tomlkit.inline_table()
inline.append("k", [{"a": 1}])
inline["l"] = {"m": [{"n": 1}]}
document["owner"]["inline"] = inline
document.add("last", {"z": {"y": 1}})
said["document"] = document.as_string()

heard = []
class Point:
    def __init__(self, x):
        self.x = x

def new_style(obj, _parent=None, _sort_keys=False):
    if not isinstance(obj, Point):
        raise tomlkit.items.ConvertError("no")
    heard.append([type(_parent).__name__, _sort_keys])
    return item({"b": obj.x, "a": 1}, parent=_parent, sort_keys=_sort_keys)

def by_keyword(obj, **options):
    heard.append(sorted(options))
    raise tomlkit.items.ConvertError("no")

def old_style(obj):
    if not isinstance(obj, complex):
        raise tomlkit.items.ConvertError("no")
    return item(str(obj))

for encoder in (by_keyword, new_style, old_style):
    tomlkit.register_encoder(encoder)
said["encoders"] = [tomlkit.dumps({"p": Point(1), "l": [Point(2), 3j], "t": {"q": Point(3)}}, sort_keys=flag) for flag in (False, True)]
said["nothing"] = refused(lambda: item(object()))
said["heard"] = heard

said["refused"] = [refused(call) for call in (
    lambda: tomlkit.item(1),
    lambda: tomlkit.item(1, None),
    lambda: tomlkit.item([], _parent=None),
    lambda: tomlkit.item(1, parent=None, _sort_keys=True),
    lambda: tomlkit.item(1, parent=None, sort_keys=True),
)]
said["parameters"] = [[each.name, each.kind.name, each.default is each.empty] for each in inspect.signature(items.item).parameters.values()]
print(json.dumps(said))
"""
NAMES = {"parent": "parent", "sort_keys": "sort_keys"}


def behaviour(submission: Path, names: dict[str, str] = NAMES) -> object:
    return ask(BEHAVIOUR, submission, {"names": names})


def grade(submission: Path, hidden: Path) -> dict:
    expected = json.loads((hidden / "expected.json").read_text(encoding="utf-8"))
    package = read_package(submission / PACKAGE)
    signatures = package.signatures(TARGET)
    calls = [call for name, call in package.calls(TARGET)]
    wrong = sum(len(call.args) != 1 or "parent" not in {keyword.arg for keyword in call.keywords} for call in calls)
    checks = {
        f"{TARGET} has the new signature": signatures[-1:] == [SIGNATURE],
        "its overloads have it too": signatures[:-1] == [OVERLOAD] * OVERLOADS,
        "every call names its parent": len(calls) == expected["calls"] and not wrong,
        **package.reached(expected["after"]),
    }
    changes = package.changes(expected["before"], [*expected["after"], TARGET])
    return verdict(
        package,
        checks,
        changes,
        imports=import_all(PACKAGE, submission) == expected["modules"],
        behaviour=behaviour(submission) == expected["behaviour"],
    )
