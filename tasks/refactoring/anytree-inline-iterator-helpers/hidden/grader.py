"""Check that two helpers were inlined and removed: only their users have changed, and all iterators walk as before."""

import ast
import json
from pathlib import Path

from workbench_grading.code import Package, ask, import_all, read_package, verdict

PACKAGE = "anytree"
CLASS = "anytree.iterators.abstractiter.AbstractIter"
HELPERS = ["_abort_at_level", "_get_children"]

BEHAVIOUR = """
import random
anytree = importlib.import_module("anytree")

def grown(size, seed):
    source, nodes = random.Random(seed), [anytree.Node("0", value=0)]
    for number in range(1, size):
        nodes.append(anytree.Node(str(number), parent=source.choice(nodes[-6:]), value=number))
    return nodes

def walked(kind, start, maxlevel, filtered, stopped, calls):
    def filter_(node):
        calls.append(f"f{node.name}")
        return node.value % 3 != 1

    def stop(node):
        calls.append(f"s{node.name}")
        return node.value % 5 == 4

    options = {"filter_": filter_ if filtered else None, "stop": stop if stopped else None, "maxlevel": maxlevel}
    found = []
    for each in getattr(anytree, kind)(start, **options):
        found.append([node.name for node in each] if isinstance(each, tuple) else each.name)
        calls.append("|")
    return found

said = []
for size, seed, begins in given["trees"]:
    nodes = grown(size, seed)
    for kind in ("PreOrderIter", "PostOrderIter", "LevelOrderIter", "LevelOrderGroupIter", "ZigZagGroupIter"):
        for maxlevel in (None, 0, 1, 2, 3, 5, 100):
            for filtered, stopped in ((0, 0), (1, 0), (0, 1), (1, 1)):
                calls = []
                try:
                    found = walked(kind, nodes[begins], maxlevel, filtered, stopped, calls)
                except Exception as error:
                    found = type(error).__name__
                said.append([kind, maxlevel, filtered, stopped, found, "".join(calls)])
    said.append(anytree.RenderTree(nodes[0], maxlevel=3).by_attr("name"))
    said.append([node.name for node in anytree.findall(nodes[0], lambda node: node.value % 2, maxlevel=4)])
    said.append([nodes[0].height, len(nodes[0].descendants), [leaf.name for leaf in nodes[0].leaves]])
print(json.dumps(said))
"""
TREES = [[1, 1, 0], [9, 2, 0], [25, 3, 0], [25, 4, 3]]


def behaviour(submission: Path) -> object:
    return ask(BEHAVIOUR, submission, {"trees": TREES})


def inner(package: Package, name: str) -> int:
    """Return how many functions stand inside a method: a helper could hide there."""
    unit = package.units.get(name)
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
    return sum(isinstance(node, kinds) for top in unit.nodes for node in ast.walk(top)) - len(unit.nodes) if unit else 1


def grade(submission: Path, hidden: Path) -> dict:
    expected = json.loads((hidden / "expected.json").read_text(encoding="utf-8"))
    package = read_package(submission / PACKAGE)
    left = {name for helper in HELPERS for name in {*package.users(f"{CLASS}.{helper}"), *package.users(f".{helper}")}}
    checks = {f"{helper} is gone": f"{CLASS}.{helper}" not in package.units and not package.broken for helper in HELPERS}
    for name in expected["users"]:
        checks[f"{name} does without"] = (
            name in package.units
            and name not in left
            and package.fingerprints[name] != expected["before"][name]
            and not inner(package, name)
        )
    changes = package.changes(expected["before"], [*expected["users"], *(f"{CLASS}.{helper}" for helper in HELPERS)])
    return verdict(
        package,
        {**checks, "nobody refers to either": not left and not package.broken},
        changes,
        imports=import_all(PACKAGE, submission) == expected["modules"],
        behaviour=behaviour(submission) == expected["behaviour"],
        leftovers=sorted(left),
    )
