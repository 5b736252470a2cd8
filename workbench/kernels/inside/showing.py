"""What a cell shows beside its own output: what it changed in the namespace, data frames for a reader who pays by the character."""

import sys
import types

NAMESPACE_MIME = "application/vnd.workbench.namespace+json"
ASKS_FOR_CHANGES = "workbench_changes"
MOST_CHANGES = 40
WHOLE_FRAME_ROWS, WHOLE_FRAME_COLUMNS = 20, 20
MOST_SCHEMA_COLUMNS = 40
MOST_ERROR, MOST_FRAMES = 400_000, 40


def summary(value: object) -> str:
    """Return type and shape of ``value`` without running any of its code, unless it is a known container."""
    kind = type(value)
    module, name = kind.__module__.partition(".")[0], kind.__name__
    if kind is int and value.bit_length() > 200:
        return f"int of {value.bit_length()} bits"
    if kind in (int, float, bool, complex, type(None)):
        return f"{name} = {value!r}"[:60]
    if kind is str:
        return f"str of {len(value)} characters"
    if kind in (list, tuple, dict, set, frozenset, bytes, bytearray):
        return f"{name} of {len(value)}"
    home = sys.modules.get(kind.__module__)
    if getattr(home, name, None) is kind and module in ("numpy", "pandas", "scipy", "pyarrow", "polars", "torch"):
        shape = getattr(value, "shape", None)
        if isinstance(shape, tuple):
            dtype = getattr(value, "dtype", None)
            return f"{name} {' x '.join(map(str, shape))}" + (f" {dtype}" if dtype is not None else "")
    # isinstance would ask the value itself, which may answer with code of its own
    if kind is types.FunctionType:
        return "function"
    if issubclass(kind, type):
        return "class"
    return name


class NamespaceWatch:
    """Compares the user's variables before and after a cell and publishes the difference."""

    def __init__(self, shell: object) -> None:
        self.shell = shell
        self.ignored = set(shell.user_ns)
        self.before: dict[str, tuple[int, str]] = {}

    def _look(self) -> dict[str, tuple[int, str]]:
        return {
            name: (id(value), summary(value))
            for name, value in list(self.shell.user_ns.items())
            if isinstance(name, str)
            and not name.startswith("_")
            and name not in self.ignored
            and not issubclass(type(value), types.ModuleType)
        }

    def after_cell(self, _result: object) -> None:
        """Publish what the cell made, changed and deleted, where the request asks for it: a notebook has no use for it."""
        if not self.shell.get_parent().get("content", {}).get(ASKS_FOR_CHANGES):
            return
        now, before = self._look(), self.before
        changes = [
            {"name": name, "change": "changed" if name in before else "new", "summary": now[name][1]}
            for name in now
            if now[name] != before.get(name)
        ]
        changes += [{"name": name, "change": "deleted", "summary": ""} for name in before if name not in now]
        self.before = now
        if changes:
            self.shell.display_pub.publish(
                {NAMESPACE_MIME: {"changes": changes[:MOST_CHANGES], "more": max(0, len(changes) - MOST_CHANGES)}}
            )


def frame_text(frame: object, printer: object, cycle: bool) -> None:
    """Write a data frame for a reader who pays by the character: whole when small, else schema and head."""
    rows, columns = frame.shape
    if rows <= WHOLE_FRAME_ROWS and columns <= WHOLE_FRAME_COLUMNS:
        printer.text(frame.to_string(max_colwidth=60))
        return
    lines = [f"DataFrame with {rows} rows x {columns} columns", "columns (dtype, missing):"]
    missing = frame.isna().sum()
    shown = list(zip(frame.columns, frame.dtypes, missing, strict=True))[:MOST_SCHEMA_COLUMNS]
    lines += [f"  {str(name)[:60]} ({dtype}, {count})" for name, dtype, count in shown]
    if columns > len(shown):
        lines.append(f"  ... and {columns - len(shown)} more columns")
    head = frame.iloc[:5, :WHOLE_FRAME_COLUMNS]
    lines += ["head:", head.to_string(max_colwidth=40)]
    printer.text("\n".join(lines))


def cut_error(text: str) -> str:
    """Return ``text`` short enough to be let out: a message that is too large is never delivered."""
    return text if len(text) <= MOST_ERROR else text[: MOST_ERROR // 2] + "\n[...]\n" + text[-MOST_ERROR // 2 :]


def install(shell: object) -> None:
    """Let ``shell`` show all that."""
    shell.display_formatter.formatters["text/plain"].for_type_by_name("pandas", "DataFrame", frame_text)
    shell.display_formatter.formatters["text/plain"].for_type_by_name("pandas.core.frame", "DataFrame", frame_text)
    shell.events.register("post_run_cell", NamespaceWatch(shell).after_cell)
    show_error = shell._showtraceback
    shell._showtraceback = lambda kind, value, lines: show_error(
        kind, cut_error(str(value)), [cut_error(line) for line in lines][-MOST_FRAMES:]
    )
