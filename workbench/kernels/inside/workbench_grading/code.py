"""What graders of refactorings ask of a submitted package: what it defines, who refers to what, and what has changed.

Nothing here runs the package; :mod:`workbench_grading.probes` does, where it can do no harm.
"""

import ast
import copy
import hashlib
import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path

from workbench_grading.names import FUNCTIONS, Scope, bound, imported
from workbench_grading.probes import ask, import_all
from workbench_grading.reading import Invalid
from workbench_grading.tree import printable, read_tree
from workbench_grading.units import Reader, Unit, exported

__all__ = ["Changes", "Invalid", "Module", "Package", "Unit", "ask", "import_all", "read_package", "read_tree", "verdict"]

_LONGEST_CHAIN = 10


@dataclass
class Module:
    """One parsed module."""

    name: str
    path: str
    tree: ast.Module
    bindings: "dict[str, str]" = field(default_factory=dict)
    """The names it binds at its top, with the dotted names they stand for."""
    exported: "list[str] | None" = None
    """What its ``__all__`` lists; None if it has none, or one that is made by a program."""

    @property
    def stars(self) -> "list[str]":
        """The modules it imports everything from, at its top."""
        is_package = self.path.endswith("/__init__.py")
        imports = [imported(node, self.name, is_package) for node in self.tree.body if isinstance(node, ast.ImportFrom)]
        return [names["*"].removesuffix(".*") for names in imports if "*" in names]

    @property
    def defined(self) -> "set[str]":
        """The names of its functions and classes."""
        return {node.name for node in self.tree.body if isinstance(node, (*FUNCTIONS, ast.ClassDef))}


@dataclass
class Changes:
    """What differs from the package as it was."""

    changed: "list[str]"
    """Units that are not as they were, or are gone."""
    extra: "list[str]"
    """Units that were not there."""
    unchanged: float
    """The share of the units that are as they were; an extra one counts against it too."""

    def __bool__(self) -> bool:
        return bool(self.changed or self.extra)


class Package:
    """A package that was submitted, read without running it.

    Parameters
    ----------
    files : mapping of str to bytes
        By path, as :func:`read_tree` gives them.
    same : mapping of str to str
        Dotted names that stand for one thing, such as a function's names before and after it was moved, and the name by
        which fingerprints know it (``{"pkg.old.f": "@f", "pkg.new.f": "@f"}``). What belongs to them is known alike.
    """

    def __init__(self, files: "Mapping[str, bytes]", same: "Mapping[str, str] | None" = None) -> None:
        self.files = files
        self.same = dict(same or {})
        self.modules: dict[str, Module] = {}
        """By dotted name."""
        self.broken: dict[str, str] = {}
        """Why a file could not be understood, by path."""
        self.units: dict[str, Unit] = {}
        """By name."""
        for path, data in sorted(files.items()):
            self.units[path] = Unit(path, path, content=["python" if path.endswith(".py") else hashlib.sha256(data).hexdigest()])
            if path.endswith(".py"):
                self._try(path, lambda path=path, data=data: self._parse(path, data))
        self._expand_stars()
        for module in list(self.modules.values()):
            self._try(module.path, lambda module=module: self._divide(module))

    def _try(self, path: str, read: "Callable[[], None]") -> None:
        try:
            read()
        except Exception as error:  # a strange encoding, nesting or number: no package that is pinned holds any
            self.broken[path] = f"{type(error).__name__}: {printable(str(error))[:200]}"

    def _parse(self, path: str, data: bytes) -> None:
        name = path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            module = Module(name, path, ast.parse(data))
        names = bound(module.tree.body, name, path.endswith("/__init__.py"))
        module.bindings = {each: dotted or f"{name}.{each}" for each, dotted in names.items()}
        lists = [names for node in module.tree.body if (names := exported(node)) is not None]
        module.exported = lists[0] if len(lists) == 1 else None
        self.modules[name] = module

    def _expand_stars(self) -> None:
        for _ in range(_LONGEST_CHAIN):
            for module in self.modules.values():
                for origin in [self.modules[name] for name in module.stars if name in self.modules]:
                    public = [name for name in origin.bindings if not name.startswith("_")] if origin.exported is None else origin.exported
                    module.bindings = {**{name: f"{origin.name}.{name}" for name in public if name != "*"}, **module.bindings}

    def _divide(self, module: Module) -> None:
        units = Reader(module.name, module.path, Scope(module.bindings), self.resolve, self.known).read(module.tree)
        for unit in units:
            there = self.units.setdefault(unit.name, unit)
            if there is not unit:  # two definitions that ``same`` takes for one
                there.absorb(unit)

    def resolve(self, dotted: str) -> "list[str]":
        """Return ``dotted`` and each name it leads to through re-exports; the last is where it ends. Names in ``same`` are not followed."""
        way = [dotted]
        while len(way) < _LONGEST_CHAIN and way[-1] not in self.same:
            owner, _, name = way[-1].rpartition(".")
            onward = self.modules[owner].bindings.get(name) if owner in self.modules else None
            if onward is None or onward in way:
                break
            way.append(onward)
        return way

    def known(self, dotted: str) -> str:
        """Return the name by which fingerprints know a dotted name."""
        for name, placeholder in self.same.items():
            if dotted == name or dotted.startswith(f"{name}."):
                return placeholder + dotted.removeprefix(name)
        return dotted

    @property
    def fingerprints(self) -> "dict[str, str]":
        """What every unit says, by its name: what a task's ``expected.json`` keeps of the package as it was."""
        return {name: unit.fingerprint for name, unit in sorted(self.units.items())}

    def users(self, dotted: str) -> "list[str]":
        """Return the names of the units that refer to ``dotted``, itself apart.

        Give ``.name`` for an attribute of objects that no import leads to.
        """
        return sorted(name for name, unit in self.units.items() if unit.refers_to(dotted) and not _within(name, self.known(dotted)))

    def paths(self, names: "Iterable[str]") -> "set[str]":
        """Return the files that these units stand in."""
        return {self.units[name].path for name in names}

    def calls(self, dotted: str) -> "list[tuple[str, ast.Call]]":
        """Return the calls of ``dotted`` (or ``.name``), each with the name of the unit it stands in."""
        return [(name, call) for name, unit in sorted(self.units.items()) for target, call in unit.calls if target == dotted]

    def signatures(self, dotted: str) -> "list[str]":
        """Return the parameters of every definition of a function, with defaults and without annotations: ``a, /, b, *, c=1``.

        There are several where it has overloads; the last is the one that counts. A method's say ``self`` too.
        """
        unit = self.units.get(self.known(dotted))
        return [_parameters(node) for node in unit.nodes if isinstance(node, FUNCTIONS)] if unit else []

    def signature(self, dotted: str) -> "str | None":
        """Return the last of :meth:`signatures`; None if it is no function."""
        return (self.signatures(dotted) or [None])[-1]

    def changes(self, expected: "Mapping[str, str]", may_change: "Iterable[str]" = ()) -> Changes:
        """Compare with the fingerprints of the package as it was.

        Parameters
        ----------
        expected : mapping of str to str
            What :attr:`fingerprints` was then, with the same ``same``.
        may_change : iterable of str
            Patterns of the names of units that may change, come or go.
        """
        patterns = list(may_change)
        now = self.fingerprints
        free = {name for name in [*expected, *now] if any(fnmatchcase(name, pattern) for pattern in patterns)}
        fixed = {name for name in expected if name not in free}
        changed = sorted(name for name in fixed if now.get(name) != expected[name])
        extra = sorted(now.keys() - expected.keys() - free)
        return Changes(changed, extra, 1 - min(len(changed) + len(extra), len(fixed)) / len(fixed))

    def reached(self, after: "Mapping[str, str | None]") -> "dict[str, bool]":
        """Say of each unit that a refactoring changes whether it is as it should be.

        Parameters
        ----------
        after : mapping of str to str
            The fingerprints that have to be there afterwards, by the units' names, and None for those that have to be gone.
        """
        now = self.fingerprints
        return {name: now.get(name) == wanted for name, wanted in after.items()}


def _parameters(function: "ast.FunctionDef | ast.AsyncFunctionDef") -> str:
    arguments = copy.deepcopy(function.args)
    for node in ast.walk(arguments):
        if isinstance(node, ast.arg):
            node.annotation = None
    return ast.unparse(arguments)


def _within(name: str, owner: str) -> bool:
    return name == owner or name.startswith(f"{owner}.")


def read_package(root: Path, same: "Mapping[str, str] | None" = None) -> Package:
    """Read a submitted package.

    Parameters
    ----------
    root : Path
        The package's folder, whose name is the package's.
    same : mapping of str to str
        As :class:`Package` takes it.

    Raises
    ------
    Invalid
        As :func:`read_tree` does. Python that cannot be parsed is no reason: see :attr:`Package.broken`.
    """
    return Package(read_tree(root), same)


def verdict(
    package: Package, checks: "Mapping[str, bool]", changes: Changes, *, imports: bool, behaviour: bool, **details: object
) -> "dict[str, object]":
    """Return what a grader of a refactoring returns: it is solved when every check holds, nothing else changed, and it works as it should.

    Parameters
    ----------
    package : Package
        What was submitted.
    checks : mapping of str to bool
        What the refactoring has to reach, none of which holds before it.
    changes : Changes
        What differs that should not.
    imports, behaviour : bool
        Whether every module can be imported, and whether probes answer as they should.
    **details
        Whatever else the verdict should say.
    """
    metrics = {
        "solved": float(all(checks.values()) and not changes and not package.broken and imports and behaviour),
        "checks": sum(checks.values()) / len(checks),
        "unchanged": changes.unchanged,
        "imports": float(imports),
        "behaviour": float(behaviour),
    }
    said = {"checks": dict(checks), "changed": changes.changed[:50], "extra": changes.extra[:50], "broken": package.broken, **details}
    return {"metrics": metrics, "invalid": None, "details": said}
