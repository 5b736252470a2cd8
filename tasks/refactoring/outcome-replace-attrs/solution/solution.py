# %%
import subprocess
import sys
from pathlib import Path

for path in sorted(Path("outcome").glob("*.py")):
    if "attr" in path.read_text():
        print(path, [line for line in path.read_text().splitlines() if "attr." in line or "import attr" in line])

# %%
# What do the defaults of attr.s mean here? Ask the package as it was.
probe = """
import sys, weakref
sys.path[:0] = [".", *sys.argv[1:]]
from outcome import Error, Outcome, Value
print(Value(1) < Value(2), Value(1) == Value(1), hash(Value(1)) == hash(Value(1)), hasattr(Value(1), "__dict__"), weakref.ref(Value(1)))
print(Outcome.__slots__, Value.__slots__, Error.__slots__)
for make in (lambda: Error("x"), Outcome, lambda: setattr(Value(1), "value", 2), lambda: Value(1) < Error(KeyError())):
    try:
        print(make())
    except Exception as error:
        print(type(error).__mro__[:-3], error)
"""


def run(*arguments):
    done = subprocess.run([sys.executable, "-B", "-c", probe, *arguments], capture_output=True, text=True)
    print(done.stdout, done.stderr[-800:])


run("vendor")

# %%
# Order and weak references are defaults of attrs that dataclasses don't share, and a frozen dataclass can't inherit from one that is not.
path = Path("outcome/_impl.py")
text = path.read_text()
for old, new in [
    ("import abc\n", "import abc\nimport dataclasses\n"),
    ("import attr\n\n", ""),
    (
        "@attr.s(repr=False, init=False, slots=True)",
        "@dataclasses.dataclass(repr=False, init=False, order=True, frozen=True, slots=True, weakref_slot=True)",
    ),
    ("attr.ib(default=False, eq=False, init=False)", "dataclasses.field(default=False, compare=False, init=False)"),
    ("    value: ValueT = attr.ib()\n", "    value: ValueT\n"),
    (
        "    error: BaseException = attr.ib(\n        validator=attr.validators.instance_of(BaseException)\n    )\n",
        "    error: BaseException\n",
    ),
    (
        "    def __repr__(self) -> str:\n        return f'Error(",
        "    def __post_init__(self) -> None:\n        if not isinstance(self.error, BaseException):\n"
        "            raise TypeError(f'error must be an exception, not {self.error!r}')\n\n"
        "    def __repr__(self) -> str:\n        return f'Error(",
    ),
]:
    assert text.count(old) == 1, old
    text = text.replace(old, new)
text = text.replace(
    "@attr.s(frozen=True, repr=False, slots=True)", "@dataclasses.dataclass(repr=False, order=True, frozen=True, slots=True)"
)
path.write_text(text)

# %%
run()
