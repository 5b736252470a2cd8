"""Make a year of hospital stays and laboratory messages, and soil them the way such exports are soiled.

The clean tables are drawn first, and the answers computed from them; the mess is made of them afterwards, so that none of
it decides an answer.
"""

import csv
import json
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np

SEED = 641_907_328
PATIENTS, STAYS = 1200, 1500
HOSPITALS = {"LIS": "Europe/Lisbon", "VIE": "Europe/Vienna", "ATH": "Europe/Athens"}
LOCAL = {"LIS": "%Y-%m-%d %H:%M", "VIE": "%d.%m.%Y %H:%M", "ATH": "%d/%m/%Y %I:%M %p"}
NAMES = {
    "creatinine": ["Creatinine", "CREA", "crea ", "S-Creatinine"],
    "glucose": ["Glucose", "GLU", "glucose", "P-Glucose "],
    "sodium": ["Sodium", "Na"],
}
UNITS = {
    "creatinine": [("µmol/L", 1), ("umol/l", 1), ("mg/dL", 88.42)],
    "glucose": [("mmol/L", 1), ("mmol/l", 1), ("mg/dL", 1 / 18.016)],
    "sodium": [("mmol/L", 1)],
}
DAY = timedelta(hours=24)


def mrn(number: int, random: np.random.Generator) -> str:
    """Write a patient's number in one of the ways the hospitals do."""
    ways = [f"{number}", f"MRN-{number:07d}", f"mrn {number}", f" {number:07d}", f"{number}.0", f"MRN{number:07d} "]
    return str(random.choice(ways))


def admitted_local(zone: str, random: np.random.Generator) -> datetime:
    """Return a local time of 2024 that exists, and only once."""
    while True:
        naive = datetime(2024, 1, 1) + timedelta(minutes=int(random.integers(0, 366 * 1440)))
        early, late = (naive.replace(tzinfo=ZoneInfo(zone), fold=fold) for fold in (0, 1))
        if early.utcoffset() == late.utcoffset():
            return early


def moment(when: datetime, random: np.random.Generator) -> str:
    """Write a moment in UTC or with an offset."""
    hours = int(random.choice([0, 0, 1, 2, 3]))
    if hours == 0:
        return when.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return when.astimezone(timezone(timedelta(hours=hours))).isoformat(timespec="seconds")


def drawn(test: str, random: np.random.Generator) -> float:
    return {"creatinine": random.lognormal(4.5, 0.4), "glucose": random.lognormal(1.9, 0.35), "sodium": random.normal(139, 4)}[test]


def measured(test: str, random: np.random.Generator) -> tuple[str, str, float]:
    """Return a value as written, its unit, and what it is in the unit asked for."""
    units = UNITS[test]
    unit, factor = units[int(random.integers(len(units)))]
    written = f"{drawn(test, random) / factor:.2f}"
    return (written.replace(".", ",") if random.random() < 0.3 else written), unit, float(written) * factor


def messages(collected: datetime, test: str, random: np.random.Generator) -> tuple[list[dict], float | None]:
    """Return what the laboratory sent about one specimen, and the value that counts in the end."""
    fate = random.choice(["once", "corrected", "cancelled"], p=[0.78, 0.15, 0.07])
    sent, reported, counts = [], collected, None
    for status in {"once": ["final"], "corrected": ["preliminary", "corrected"], "cancelled": ["final", "cancelled"]}[str(fate)]:
        reported += timedelta(minutes=int(random.integers(30, 300)))
        written, unit, value = measured(test, random)
        counts = None if status == "cancelled" else value
        sent.append({"value": written, "unit": unit, "reported": reported, "status": status})
    return sent, counts


def main() -> None:
    random = np.random.default_rng(SEED)
    numbers = [int(number) for number in random.choice(np.arange(1_000, 900_000), PATIENTS, replace=False)]
    # Someone registered twice has two numbers; the second of some was merged again.
    merged = {numbers[at]: numbers[at + 1] for at in random.choice(PATIENTS - 1, 150, replace=False)}

    def survivor(number: int) -> int:
        return survivor(merged[number]) if number in merged else number

    chains: dict[int, list[int]] = {}
    for number in numbers:
        chains.setdefault(survivor(number), []).append(number)
    stays, labs, expected, busy = [], [], [], {}
    while len(stays) < STAYS:
        person = int(random.choice(list(chains)))
        hospital = str(random.choice(list(HOSPITALS)))
        local = admitted_local(HOSPITALS[hospital], random)
        admitted = local.astimezone(UTC)
        # Nobody is admitted twice within a week, so that a result belongs to one stay at most.
        if any(abs(admitted - other) < timedelta(days=7) for other in busy.setdefault(person, [])):
            continue
        busy[person].append(admitted)
        stay = f"S{len(stays) + 1:05d}"
        known = int(random.choice(chains[person]))
        stays.append({"stay": stay, "hospital": hospital, "patient": mrn(known, random), "admitted": local.strftime(LOCAL[hospital])})
        found: dict[str, list[tuple[datetime, float]]] = {"creatinine": [], "glucose": [], "sodium": []}
        minutes = random.choice(np.arange(-600, 2400, 7), int(random.integers(0, 7)), replace=False)
        for minute in minutes:
            collected, test = admitted + timedelta(minutes=int(minute)), str(random.choice(list(NAMES), p=[0.4, 0.45, 0.15]))
            sent, counts = messages(collected, test, random)
            specimen = f"L{random.integers(10**8, 10**9)}"
            for message in sent:
                row = {
                    "specimen": specimen,
                    "patient": mrn(int(random.choice(chains[person])), random),
                    "test": str(random.choice(NAMES[test])),
                    **message,
                    "collected": moment(collected, random),
                    "reported": moment(message["reported"], random),
                }
                labs += [row] * (2 if random.random() < 0.08 else 1)
            if counts is not None and admitted <= collected < admitted + DAY:
                found[test].append((collected, counts))
        creatinine, glucose = sorted(found["creatinine"]), [value for _, value in found["glucose"]]
        expected.append(
            {
                "stay": stay,
                "patient": survivor(person),
                "admitted_utc": admitted.strftime("%Y-%m-%dT%H:%M:%SZ"),
                "specimens": sum(map(len, found.values())),
                "creatinine_first": creatinine[0][1] if creatinine else None,
                "glucose_max": max(glucose) if glucose else None,
            }
        )
    stays += [stays[at] for at in random.choice(STAYS, 40, replace=False)]
    register = [
        {"mrn": number, "merged_into": merged.get(number, ""), "born": int(random.integers(1930, 2006))} for number in sorted(numbers)
    ]
    write("stays.csv", [stays[at] for at in random.permutation(len(stays))])
    write("labs.csv", [labs[at] for at in random.permutation(len(labs))])
    write("patients.csv", register)
    write("hospitals.csv", [{"hospital": code, "time_zone": zone} for code, zone in HOSPITALS.items()])
    Path("hidden").mkdir(exist_ok=True)
    Path("hidden/expected.json").write_text(json.dumps(expected) + "\n", encoding="utf-8")


def write(name: str, rows: list[dict]) -> None:
    path = Path("workspace") / name
    path.parent.mkdir(exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


if __name__ == "__main__":
    main()
