"""Make two databases of a bike share with the same schema and other rows, and what each query should return on the hidden one.

The answers are computed here in plain Python, not by SQL: the reference queries are checked by them too.
"""

import json
import math
from bisect import bisect_right
from collections import Counter, defaultdict
from datetime import date, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from statistics import median

import duckdb
import numpy as np
import pyarrow as pa

SEEDS = {"workspace/bikes.duckdb": 530_918_274, "hidden/others.duckdb": 918_273_645}
TAGS = ["campus", "centre", "harbour", "hill", "park", "station"]
PARTS = ["brake", "chain", "light", "saddle", "tyre"]
SCHEMA = """
CREATE TABLE stations (station INTEGER, name VARCHAR, place STRUCT(lat DOUBLE, lon DOUBLE), docks INTEGER, tags VARCHAR[]);
CREATE TABLE trips (
    trip INTEGER, bike INTEGER, rider INTEGER, start_station INTEGER, end_station INTEGER, started TIMESTAMP, ended TIMESTAMP
);
CREATE TABLE battery (bike INTEGER, read_at TIMESTAMP, charge DOUBLE);
CREATE TABLE prices (valid_from TIMESTAMP, unlock DECIMAL(6, 2), per_minute DECIMAL(6, 3));
CREATE TABLE repairs (bike INTEGER, done DATE, parts STRUCT(part VARCHAR, cost DECIMAL(8, 2))[]);
"""
Rows = list[tuple]


def draw(random: np.random.Generator) -> dict[str, Rows]:
    """Return the rows of every table."""
    start, days = datetime(int(random.integers(2021, 2025)), int(random.integers(1, 12)), 1), int(random.integers(70, 100))
    pick = lambda low, high: int(random.integers(low, high))  # noqa: E731
    stations = [
        (
            n,
            f"Stop {n}",
            {"lat": 52 + random.random(), "lon": 4 + random.random()},
            pick(6, 40),
            sorted(random.choice(TAGS, pick(0, 4), replace=False).tolist()),
        )
        for n in range(1, pick(18, 26))
    ]
    closed = set(random.choice(days - 10, 6, replace=False).tolist())
    closed |= {day + 1 for day in list(closed)[:3]} | {5}
    riding = [day for day in range(days) if day not in closed or day in (0, days - 1)]
    trips, free, riders = [], defaultdict(lambda: start), pick(100, 140)
    times = sorted(start + timedelta(days=int(random.choice(riding)), minutes=pick(300, 1380)) for _ in range(3000))
    for began in times:
        bike, rider = pick(1, 90), pick(1, riders)
        if free[bike] > began or free[f"rider {rider}"] > began:
            continue
        lasts = timedelta(seconds=60 * pick(1, 41)) if random.random() < 0.3 else timedelta(seconds=pick(60, 3600))
        lost = random.random() < 0.02
        origin, target = pick(1, len(stations)), pick(1, min(9, len(stations)))
        trips.append((len(trips) + 1, bike, rider, origin, None if lost else target, began, None if lost else began + lasts))
        free[bike] = free[f"rider {rider}"] = began + (timedelta(0) if lost else lasts)
        if random.random() < 0.25 and not lost:
            times_after = began + lasts + timedelta(minutes=pick(0, 40))
            other = pick(1, 90)
            if free[other] <= times_after and times_after.date() == began.date():
                trips.append(
                    (len(trips) + 1, other, rider, target, pick(1, len(stations)), times_after, times_after + timedelta(minutes=9))
                )
                free[other] = free[f"rider {rider}"] = times_after + timedelta(minutes=9)
    battery = [
        (bike, start + timedelta(minutes=pick(0, days * 1440)), round(100 * random.random(), 1))
        for bike in range(1, 85)
        for _ in range(200)
    ]
    battery += [(trip[1], trip[5], 50.5) for trip in trips[::40]] + [
        (trip[1], trip[5] - timedelta(hours=2), 20.25) for trip in trips[1::40]
    ]
    battery = list({(bike, at): (bike, at, charge) for bike, at, charge in battery}.values())
    changes = [
        start - timedelta(days=30),
        *(start + timedelta(days=day, hours=9) for day in sorted(random.choice(days, 4, replace=False).tolist())),
    ]
    prices = [(at, round(0.5 + random.random(), 2), round(0.1 + random.random() / 5, 3)) for at in changes]
    repairs = [
        (
            pick(1, 90),
            (start + timedelta(days=pick(0, days))).date(),
            None
            if random.random() < 0.05
            else [{"part": str(random.choice(PARTS)), "cost": round(5 + 40 * random.random(), 2)} for _ in range(pick(0, 4))],
        )
        for _ in range(300)
    ]
    return {"stations": stations, "trips": trips, "battery": battery, "prices": prices, "repairs": repairs}


def charge_at_start(tables: dict[str, Rows]) -> Rows:
    readings = defaultdict(list)
    for bike, at, charge in sorted(tables["battery"]):
        readings[bike].append((at, charge))
    found = []
    for trip, bike, *_, began, _ended in tables["trips"]:
        known = [charge for at, charge in readings[bike] if began - timedelta(hours=2) <= at <= began]
        found.append((trip, known[-1] if known else None))
    return found


def revenue(tables: dict[str, Rows]) -> Rows:
    months, starts = defaultdict(float), [at for at, *_ in tables["prices"]]
    for *_, began, ended in tables["trips"]:
        if ended is not None:
            _, unlock, per_minute = tables["prices"][bisect_right(starts, began) - 1]
            months[date(began.year, began.month, 1)] += unlock + per_minute * math.ceil((ended - began).total_seconds() / 60)
    return [(month, round(total, 2)) for month, total in sorted(months.items())]


def parts(tables: dict[str, Rows]) -> Rows:
    used = [(part["part"], bike, part["cost"]) for bike, _, fitted in tables["repairs"] for part in fitted or []]
    return [
        (name, len(rows), len({bike for _, bike, _ in rows}), round(sum(cost for *_, cost in rows), 2))
        for name in sorted({name for name, *_ in used})
        if (rows := [row for row in used if row[0] == name])
    ]


def outings(tables: dict[str, Rows]) -> Rows:
    by_rider = defaultdict(list)
    for trip in sorted(tables["trips"], key=lambda trip: trip[5]):
        by_rider[trip[2]].append(trip)
    found = []
    for rider, trips in sorted(by_rider.items()):
        sizes = [1]
        for before, trip in pairwise(trips):
            if trip[5] - (before[6] or before[5]) <= timedelta(minutes=30):
                sizes[-1] += 1
            else:
                sizes.append(1)
        found.append((rider, len(sizes), max(sizes)))
    return found


def destinations(tables: dict[str, Rows]) -> Rows:
    counts = Counter((trip[3], trip[4]) for trip in tables["trips"] if trip[4] is not None)
    found = []
    for station, *_ in tables["stations"]:
        best = sorted(((-count, target) for (origin, target), count in counts.items() if origin == station))[:2]
        found += [(station, place, target, -count) for place, (count, target) in enumerate(best, start=1)] or [(station, None, None, 0)]
    return found


def busiest(tables: dict[str, Rows]) -> Rows:
    changes = sorted(change for *_, began, ended in tables["trips"] if ended for change in ((began, 1), (ended, -1)))
    out = most = 0
    since = None
    for at, change in changes:
        out += change
        if out > most:
            most, since = out, at
    return [(most, since)]


def tags(tables: dict[str, Rows]) -> Rows:
    found = []
    for tag in sorted({tag for *_, tagged in tables["stations"] for tag in tagged}):
        here = {station: docks for station, _, _, docks, tagged in tables["stations"] if tag in tagged}
        lengths = [(trip[6] - trip[5]).total_seconds() / 60 for trip in tables["trips"] if trip[3] in here and trip[6]]
        found.append((tag, len(here), sum(here.values()), median(lengths) if lengths else None))
    return found


def pauses(tables: dict[str, Rows]) -> Rows:
    days = sorted({trip[5].date() for trip in tables["trips"]})
    one = timedelta(days=1)
    return [(before + one, after - one, (after - before).days - 1) for before, after in pairwise(days) if after - before > one]


ANSWERS = [charge_at_start, revenue, parts, outings, destinations, busiest, tags, pauses]


def main() -> None:
    for path, seed in SEEDS.items():
        Path(path).parent.mkdir(exist_ok=True)
        tables = draw(np.random.default_rng(seed))
        with duckdb.connect(path) as database:
            database.execute(SCHEMA)
            for name, rows in tables.items():
                columns = [column for column, *_ in database.execute(f"DESCRIBE {name}").fetchall()]
                order = np.random.default_rng(seed).permutation(len(rows))
                shuffled = pa.Table.from_pylist([dict(zip(columns, rows[at], strict=True)) for at in order])
                database.register("shuffled", shuffled)
                database.execute(f"INSERT INTO {name} SELECT * FROM shuffled")
    expected = {answer.__name__: answer(tables) for answer in ANSWERS}
    Path("hidden/expected.json").write_text(json.dumps(expected, default=str) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
