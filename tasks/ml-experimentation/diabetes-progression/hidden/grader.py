"""RMSE of the submitted predictions on the held-out patients."""

import csv
import io
import math
import os
import stat
from pathlib import Path

NAME = "submission.csv"
COLUMNS = ["id", "progression"]
MAX_BYTES = 1_000_000
MAX_ABS = 1e9  # beyond this a squared error says nothing more, and could overflow


class Invalid(Exception):
    """The submission can't be graded, for the reason given."""


def read_text(path: Path) -> str:
    """Return a submitted file's text; links and special files are not followed, and no more than the bound is read."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        raise Invalid(f"{NAME} is missing") from None
    except OSError as error:
        why = "it is a symbolic link" if path.is_symlink() else error.strerror
        raise Invalid(f"{NAME} can't be read: {why}") from None
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise Invalid(f"{NAME} is not a plain file")
    with os.fdopen(handle, "rb") as file:
        data = file.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise Invalid(f"{NAME} is larger than {MAX_BYTES} bytes")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise Invalid(f"{NAME} is not UTF-8 text") from None


def parse_number(text: str, row: int) -> float:
    try:
        # isascii and the underscore: float() also takes "1_0" and digits of other scripts.
        value = float(text) if text.isascii() and "_" not in text else math.nan
    except ValueError:
        raise Invalid(f"row {row}: {text[:40]!r} is not a number") from None
    if not math.isfinite(value) or abs(value) > MAX_ABS:
        raise Invalid(f"row {row}: {text[:40]!r} is not a finite number of sensible size")
    return value


def read_predictions(path: Path) -> dict[int, float]:
    try:
        rows = [row for row in csv.reader(io.StringIO(read_text(path), newline=""), strict=True) if row]
    except csv.Error as error:
        raise Invalid(f"{NAME} is not CSV: {error}") from None
    if not rows:
        raise Invalid(f"{NAME} is empty")
    header = [name.strip() for name in rows[0]]
    if header != COLUMNS:
        raise Invalid(f"{NAME} must have exactly the columns {','.join(COLUMNS)}, not {','.join(header)[:80]!r}")
    predictions: dict[int, float] = {}
    for number, row in enumerate(rows[1:], start=1):
        if len(row) != len(COLUMNS):
            raise Invalid(f"row {number}: {len(row)} fields instead of {len(COLUMNS)}")
        identity = parse_number(row[0], number)
        if not identity.is_integer():
            raise Invalid(f"row {number}: id {row[0][:40]!r} is not a whole number")
        if int(identity) in predictions:
            raise Invalid(f"row {number}: id {int(identity)} occurs twice")
        predictions[int(identity)] = parse_number(row[1], number)
    return predictions


def grade(submission: Path, hidden: Path) -> dict:
    with (Path(hidden) / "labels.csv").open(newline="", encoding="utf-8") as file:
        labels = {int(row["id"]): float(row["progression"]) for row in csv.DictReader(file)}
    try:
        predictions = read_predictions(Path(submission) / NAME)
        missing, unknown = sorted(labels.keys() - predictions.keys()), sorted(predictions.keys() - labels.keys())
        if missing or unknown:
            examples = ", ".join(map(str, (missing or unknown)[:5]))
            raise Invalid(f"{len(missing)} ids of test.csv are missing and {len(unknown)} are not in it, e.g. {examples}")
    except Invalid as reason:
        return {"metrics": {}, "invalid": str(reason), "details": {}}
    # fsum: the same number whatever the order of the rows.
    rmse = math.sqrt(math.fsum((predictions[key] - label) ** 2 for key, label in labels.items()) / len(labels))
    return {"metrics": {"rmse": rmse}, "invalid": None, "details": {"rows": len(labels)}}
