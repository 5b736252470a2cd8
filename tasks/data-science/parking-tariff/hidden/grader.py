"""Call the submitted function on stays of several kinds, and compare outside of it with what the tariff charges."""

import json
import random
import re
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from workbench_grading import Invalid, read_json, run_submitted

SECONDS = 20
CASES = 150
CALL = """
import json
from answer import fee

results = []
for arrive, leave in {pairs!r}:
    try:
        price = fee(arrive, leave)
        results.append(price if isinstance(price, (int, float)) else None)
    except Exception:
        results.append(None)
print()
print(json.dumps(results))
"""


def stays() -> Iterator[tuple[str, int, int]]:
    """Yield the kind, arrival and departure of stays without end, of all kinds in turn."""
    from tariff import DAY, DAYTIME, LUNCH, MOST, fee

    source = random.Random(286_170_934)
    while True:
        yield "random", source.randrange(DAY), source.randrange(DAY)
        arrive = source.randrange(DAY)
        yield "short", arrive, (arrive + source.randint(1, 24)) % DAY
        edge = source.choice(DAYTIME)
        yield "change", edge - source.randint(0, 65), edge + source.randint(-5, 65)
        arrive = source.randint(LUNCH[0] - 8, LUNCH[1] - 40)
        yield "midday", arrive, arrive + source.randint(38, 80)
        yield "night", source.randrange(DAYTIME[1] - 30, DAY), source.randrange(DAYTIME[0] + 60)
        arrive, leave = source.randrange(DAY), source.randrange(DAY)
        while not MOST - 160 <= fee(arrive, leave) <= MOST:
            arrive, leave = source.randrange(DAY), source.randrange(DAY)
        yield "most", arrive, leave
        arrive = source.randrange(DAY)
        yield "same", arrive, arrive


def source_of(answer: str) -> str:
    """Return the source in an answer, which may be in a fence."""
    fenced = re.fullmatch(r"\s*```\w*\n(.*)\n\s*```\s*", answer, re.DOTALL)
    return fenced[1] if fenced else answer


def charged(source: str, pairs: list[tuple[int, int]]) -> list:
    """Return what the submitted function charges for each of the stays."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "answer.py").write_text(source, encoding="utf-8", errors="replace")
        done = run_submitted(CALL.format(pairs=pairs), submission=Path(folder), timeout=SECONDS)
    try:
        results = json.loads(done.stdout.strip().rpartition("\n")[2])
    except (ValueError, RecursionError):
        results = None
    if not isinstance(results, list) or len(results) != len(pairs):
        why = done.stderr.strip()[-300:] or f"it ended with code {done.returncode} and no results"
        raise Invalid(f"fee of the answer could not be used: {why}")
    return results


def grade(submission: Path, hidden: Path) -> dict:
    sys.path.insert(0, str(hidden))
    from tariff import fee

    episode = read_json(submission / "episode.json", ["answer"], 16 * 2**20)
    cases = [case for case, _ in zip(stays(), range(7 * CASES), strict=False)]
    pairs = [(arrive, leave) for _, arrive, leave in cases]
    results = charged(source_of(episode["answer"]), pairs)

    right: dict[str, list[bool]] = {}
    for (kind, arrive, leave), result in zip(cases, results, strict=True):
        right.setdefault(kind, []).append(result == fee(arrive, leave))
    shares = {kind: sum(found) / len(found) for kind, found in right.items()}
    metrics = {
        "score": sum(shares.values()) / len(shares),
        "kinds_right": sum(share == 1 for share in shares.values()),
        "random_right": shares["random"],
        "midday_right": shares["midday"],
    }
    return {"metrics": metrics, "invalid": None, "details": {"queries": episode["queries"], "right": shares}}
