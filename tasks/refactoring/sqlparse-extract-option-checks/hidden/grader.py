"""Check that the repeated checks of a long function became two others, and that it behaves to the letter as before."""

import ast
import json
from pathlib import Path

from workbench_grading.code import Package, Unit, ask, import_all, read_package, verdict

PACKAGE = "sqlparse"
MODULE = "sqlparse.formatter"
LONG, CHOICE, INTEGER = (f"{MODULE}.{name}" for name in ("validate_options", "_choice", "_integer"))
LONGEST = 400  # nodes; the function had 675, and 311 in the reference solution
MOST_RAISES = 5
MAY_CHANGE = [LONG, f"{MODULE}._*"]
# the options that each of the two checks
CHECKED = {
    "_choice": [
        *("keyword_case", "identifier_case", "output_format", "strip_comments", "use_space_around_operators", "strip_whitespace"),
        *("indent_columns", "reindent", "reindent_aligned", "indent_after_first", "indent_tabs", "comma_first", "compact"),
    ],
    "_integer": ["truncate_strings", "indent_width", "wrap_after", "right_margin"],
}

# Says which functions a refusal comes through: that the two are called does not show that they do the checking.
REFUSALS = """
import traceback
formatter = importlib.import_module("sqlparse.formatter")

def way(name):
    try:
        formatter.validate_options({name: "no such value"})
    except Exception as error:
        return [frame.name for frame in traceback.extract_tb(error.__traceback__)][1:3]

print(json.dumps({name: way(name) for name in given}))
"""

BEHAVIOUR = """
sqlparse = importlib.import_module("sqlparse")
formatter = importlib.import_module("sqlparse.formatter")

def validated(options):
    options = dict(options)
    try:
        result = formatter.validate_options(options)
    except sqlparse.exceptions.SQLParseError as error:
        return ["refused", str(error)]
    except Exception as error:
        return ["failed", type(error).__name__]
    return [result is options, [[name, repr(value)] for name, value in options.items()]]

def formatted(sql, options):
    try:
        return sqlparse.format(sql, **options)
    except Exception as error:
        return [type(error).__name__, str(error)]

said = [validated(options) for options in given["options"]]
said += [formatted(sql, options) for sql in given["sql"] for options in given["formats"]]
print(json.dumps(said))
"""

NAMES = [
    *("keyword_case", "identifier_case", "output_format", "strip_comments", "use_space_around_operators", "strip_whitespace"),
    *("truncate_strings", "truncate_char", "indent_columns", "reindent", "reindent_aligned", "indent_after_first", "indent_tabs"),
    *("indent_width", "wrap_after", "comma_first", "compact", "right_margin", "unknown"),
]
VALUES = [
    None,
    True,
    False,
    0,
    1,
    2,
    -1,
    9,
    10,
    11,
    1.0,
    1.9,
    2.5,
    10.5,
    "",
    "1",
    "12",
    "-3",
    "x",
    " 7 ",
    "True",
    "upper",
    "php",
    "sql",
    [],
    {},
    [1],
]
TOGETHER = [
    {"indent_columns": True, "reindent": "x"},
    {"indent_columns": True, "reindent": False},
    {"reindent": True, "reindent_aligned": "y"},
    {"reindent_aligned": 5},
    {"reindent_aligned": True, "strip_whitespace": False},
    {"reindent": True, "strip_whitespace": None},
    {"comma_first": 7, "compact": 8, "right_margin": 1},
    {"compact": 8, "right_margin": 1},
    {"right_margin": "x", "wrap_after": -1},
    {"indent_width": 0, "wrap_after": "x"},
    {"indent_tabs": True, "indent_width": "4", "wrap_after": "80", "right_margin": "20"},
    {"truncate_strings": "10", "truncate_char": "..", "indent_tabs": 3},
    {"truncate_strings": 1, "indent_columns": 3},
    {"truncate_strings": 5, "truncate_char": None},
    {"keyword_case": "x", "identifier_case": "y", "output_format": "z"},
    {"identifier_case": "y", "output_format": "z"},
    {"output_format": "z", "strip_comments": "n"},
    {"strip_comments": "n", "use_space_around_operators": "n", "strip_whitespace": "n"},
    {"use_space_around_operators": "n", "strip_whitespace": "n"},
    {"strip_whitespace": "n", "truncate_strings": "n"},
    {"indent_after_first": 2, "indent_tabs": 2},
    {"indent_tabs": [], "comma_first": {}},
]
OPTIONS = [{}, *({name: value} for name in NAMES for value in VALUES), *TOGETHER]
SQL = [
    "select a.b, count(*) as c from t join u on t.id=u.id where x = 'a long string in here' and y>=2 group by a.b order by c -- done",
    "insert into foo values (1, 'two', 3.5), (4, 'five', 6); select case when a then b else c end from (select * from bar) as q;",
]
FORMATS = [
    {"keyword_case": "upper", "identifier_case": "capitalize", "reindent": True},
    {"reindent_aligned": True},
    {"reindent": True, "comma_first": True, "indent_width": 4, "wrap_after": 20, "indent_after_first": True},
    {"indent_columns": True, "indent_tabs": True, "use_space_around_operators": True},
    {"strip_comments": True, "strip_whitespace": True, "truncate_strings": 5, "output_format": "python"},
    {"reindent": True, "compact": True, "right_margin": "x"},
    {"output_format": "php", "truncate_strings": "8", "truncate_char": "~"},
]


def behaviour(submission: Path) -> object:
    return ask(BEHAVIOUR, submission, {"options": OPTIONS, "sql": SQL, "formats": FORMATS})


def count(unit: Unit | None, *kinds: type[ast.AST]) -> int:
    return sum(isinstance(node, kinds) for top in unit.nodes for node in ast.walk(top)) if unit else 0


def size(unit: Unit) -> int:
    """Return how many nodes a definition has, apart from docstrings."""
    docstrings = count(unit, ast.Expr) - sum(
        not isinstance(node.value, ast.Constant) for top in unit.nodes for node in ast.walk(top) if isinstance(node, ast.Expr)
    )
    return unit.size - 2 * docstrings


def refuses(submission: Path) -> dict[str, bool]:
    """Say of each of the two whether ``validate_options`` has it refuse every option that it is to check."""
    ways = ask(REFUSALS, submission, [name for names in CHECKED.values() for name in names])
    return {
        f"{function} checks its {len(names)} options": isinstance(ways, dict)
        and all(ways.get(name) == ["validate_options", function] for name in names)
        for function, names in CHECKED.items()
    }


def checked(package: Package) -> dict[str, bool]:
    long = package.units.get(LONG)
    # every function that may be new
    functions = [long] if long else []
    functions += [unit for name, unit in package.units.items() if name.startswith(f"{MODULE}._") and package.signature(name) is not None]
    raises = count(Unit("", "", [package.modules[MODULE].tree]), ast.Raise) if MODULE in package.modules else MOST_RAISES + 1
    return {
        "_choice has its parameters": (package.signature(CHOICE) or "").startswith("options, name, choices"),
        "_integer has its parameters": (package.signature(INTEGER) or "").startswith("options, name"),
        "validate_options calls both": {CHOICE, INTEGER} <= {target for target, _ in (long.calls if long else [])},
        "validate_options has no raise and no try": long is not None and not count(long, ast.Raise, ast.Try, ast.TryStar),
        "no function is too long": long is not None and all(size(unit) <= LONGEST for unit in functions),
        "few raise statements are left": raises <= MOST_RAISES,
    }


def grade(submission: Path, hidden: Path) -> dict:
    expected = json.loads((hidden / "expected.json").read_text(encoding="utf-8"))
    package = read_package(submission / PACKAGE)
    return verdict(
        package,
        {**checked(package), **refuses(submission)},
        package.changes(expected["before"], MAY_CHANGE),
        imports=import_all(PACKAGE, submission) == expected["modules"],
        behaviour=behaviour(submission) == expected["behaviour"],
    )
