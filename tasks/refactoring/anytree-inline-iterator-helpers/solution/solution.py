# %%
import subprocess
import sys
from pathlib import Path

print(Path("anytree/iterators/abstractiter.py").read_text())
print(
    subprocess.run(
        ["grep", "-rn", "-B2", "-A2", "_abort_at_level\\|_get_children", "anytree", "--include=*.py"], capture_output=True, text=True
    ).stdout
)

# %%
# Record how each iterator walks a tree before anything changes.
probe = """
import random
import anytree
source, nodes = random.Random(0), [anytree.Node("0")]
for number in range(1, 40):
    nodes.append(anytree.Node(str(number), parent=source.choice(nodes[-5:])))
for kind in (anytree.PreOrderIter, anytree.PostOrderIter, anytree.LevelOrderIter, anytree.LevelOrderGroupIter, anytree.ZigZagGroupIter):
    for maxlevel in (None, 0, 1, 2, 3, 6):
        for stop in (None, lambda node: int(node.name) % 5 == 4):
            print(kind.__name__, maxlevel, list(kind(nodes[0], maxlevel=maxlevel, stop=stop)))
"""
before = subprocess.run([sys.executable, "-B", "-c", probe], capture_output=True, text=True, check=True).stdout
print(len(before))


# %%
def edit(name, *changes):
    """Make each replacement, which must fit exactly once."""
    path = Path("anytree/iterators") / name
    text = path.read_text()
    for old, new in changes:
        assert text.count(old) == 1, (name, old, text.count(old))
        text = text.replace(old, new)
    path.write_text(text)


ABORT = "AbstractIter._abort_at_level(level, maxlevel)"
CHILDREN = "AbstractIter._get_children(child.children, stop)"
edit(
    "abstractiter.py",
    (
        "[] if AbstractIter._abort_at_level(1, maxlevel) else AbstractIter._get_children([node], stop)",
        "[] if maxlevel is not None and maxlevel < 1 else [child for child in [node] if not stop(child)]",
    ),
    ("\n    @staticmethod\n    def _abort_at_level(level, maxlevel):\n        return maxlevel is not None and level > maxlevel\n", ""),
    ("\n    @staticmethod\n    def _get_children(children, stop):\n        return [child for child in children if not stop(child)]\n", ""),
)
condition = "maxlevel is not None and level > maxlevel"
comprehension = "[grandchild for grandchild in child.children if not stop(grandchild)]"
edit("levelorderiter.py", (ABORT, condition), (CHILDREN, comprehension))
edit("levelordergroupiter.py", (ABORT, condition), (CHILDREN, comprehension))
edit("postorderiter.py", (f"not {ABORT}", "maxlevel is None or level <= maxlevel"), (CHILDREN, comprehension))
edit("preorderiter.py", ("not AbstractIter._abort_at_level(2, maxlevel)", "maxlevel is None or maxlevel >= 2"))

# %%
after = subprocess.run([sys.executable, "-B", "-c", probe], capture_output=True, text=True, check=True).stdout
assert before == after
print(
    subprocess.run(["grep", "-rn", "_abort_at_level\\|_get_children", "anytree", "--include=*.py"], capture_output=True, text=True).stdout
    or "none left"
)
