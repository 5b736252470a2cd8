"""Write service reports of wind turbines the way five technicians would, from facts that are drawn first.

Every report states its facts once, in its writer's manner. Some also say what is not a fact of the visit: an earlier fault, a corrected
number, a part that was only looked at.
"""

import calendar
import csv
import json
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np

SEED = 375_920_614
REPORTS, LABELLED = 460, 60
PARTS = ["gearbox", "generator", "pitch motor", "yaw drive", "converter", "brake"]
NICKNAMES = {
    "gearbox": ["gearbox", "gear box", "gearbx"],
    "generator": ["generator", "genny"],
    "pitch motor": ["pitch motor", "blade pitch drive"],
    "yaw drive": ["yaw drive", "yaw motor"],
    "converter": ["converter", "inverter cabinet"],
    "brake": ["brake", "brake caliper"],
}
WORDS = ["no", "one", "two", "three", "four", "five"]
MONTHS = list(calendar.month_name)[1:]


class Writer:
    """One report's facts, and how they are put."""

    def __init__(self, random: np.random.Generator) -> None:
        self.random = random
        self.turbine = int(random.integers(1, 100))
        self.began = datetime(2023, 1, 1) + timedelta(minutes=5 * int(random.integers(0, 730 * 288)))
        self.part = str(random.choice(PARTS))
        self.down = 5 * int(random.integers(4, 90))
        self.celsius = int(random.integers(35, 110))
        self.cost = int(random.integers(40, 900)) * 10 + int(random.integers(0, 2)) * 0.5
        self.injured = int(random.choice([0, 0, 0, 1, 2]))

    def one(self, *ways: str) -> str:
        return str(self.random.choice(ways))

    def facts(self) -> dict:
        return {
            "turbine": f"WT-{self.turbine:02d}",
            "date": self.began.strftime("%Y-%m-%d"),
            "part": self.part,
            "downtime_min": self.down,
            "temperature_c": self.celsius,
            "cost_eur": self.cost,
            "injured": self.injured,
        }

    def place(self) -> str:
        n, day = self.turbine, self.began
        name = self.one(f"WT-{n:02d}", f"WT{n:02d}", f"turbine {n}", f"wt {n}", f"Turbine no. {n}")
        when = self.one(
            day.strftime("%Y-%m-%d"),
            day.strftime("%d.%m.%Y"),
            f"{day.day} {MONTHS[day.month - 1]} {day.year}",
            f"{day:%d}-{day:%b}-{day:%y}",
        )
        return self.one(f"{name}, {when}.", f"Visit to {name} on {when}.", f"{when}: called to {name}.")

    def fault(self) -> str:
        name = self.one(*NICKNAMES[self.part])
        other = self.one(*[part for part in PARTS if part != self.part])
        said = self.one(
            f"Fault was in the {name}.", f"Replaced the {name}.", f"The {name} had failed.", f"Found the {name} defective and changed it."
        )
        extra = self.one(
            "", "", f"The {other} was checked and is fine.", f"Last month it had been the {other}.", f"No fault in the {other}."
        )
        return self.one(f"{said} {extra}", f"{extra} {said}").strip()

    def length(self, minutes: int) -> str:
        hours, rest = divmod(minutes, 60)
        ways = [f"{minutes} min", f"{minutes} minutes"]
        if hours:
            ways += [f"{hours} h {rest:02d}", f"{hours}h{rest:02d}m"]
        if rest == 30 and hours:
            ways += [f"{hours}.5 hours", f"{hours},5 h"]
        return self.one(*ways)

    def stop(self) -> str:
        ended = self.began + timedelta(minutes=self.down)
        wrong = self.down + 5 * int(self.random.integers(1, 12))
        return self.one(
            f"Downtime {self.length(self.down)}.",
            f"It stood still for {self.length(self.down)}.",
            f"Stopped from {self.began:%H:%M} until {ended:%H:%M}.",
            f"Off {self.began:%H:%M}, back on {ended:%H:%M}{' the next day' if ended.date() > self.began.date() else ''}.",
            f"Downtime {self.length(wrong)}, sorry, correct is {self.length(self.down)}.",
        )

    def heat(self) -> str:
        fahrenheit = self.celsius * 9 / 5 + 32
        return self.one(
            f"Oil at {self.celsius} °C.",
            f"Temperature {self.celsius} C, limit is 120 C.",
            f"Oil temperature was {fahrenheit:.1f} °F.",
            f"Read {fahrenheit:.1f} F on the oil gauge.",
            f"Oil {self.celsius} degrees Celsius; air {int(self.random.integers(-5, 30))} °C.",
        )

    def bill(self) -> str:
        plain, german = f"{self.cost:.2f}", f"{self.cost:,.2f}".translate(str.maketrans(",.", ".,"))
        offer = f"{self.cost * 2:.2f}"
        return self.one(
            f"Cost: {plain} EUR.",
            f"Cost {german} €.",
            f"EUR {self.cost:,.2f} in all.",
            f"Material {german} EUR.",
            f"The bill is €{plain}; the maker had asked for €{offer}.",
        )

    def people(self) -> str:
        if self.injured:
            word = WORDS[self.injured]
            who = "colleague" if self.injured == 1 else "colleagues"
            return self.one(
                f"{word.capitalize()} {who} hurt.", f"Injured: {self.injured}.", f"{self.injured} {who} went to the doctor with bruises."
            )
        return self.one("Nobody was hurt.", "No injuries.", "Injured: 0.", "", "All three of us are well.", "Injured: none.")

    def report(self) -> str:
        middle = [self.fault(), self.stop(), self.heat(), self.bill(), self.people()]
        order = self.random.permutation(len(middle))
        text = " ".join([self.place(), *(middle[at] for at in order if middle[at])])
        return self.one(text, text, text.upper(), text.replace(". ", ".\n"), text.replace(" ", "  "))


def main() -> None:
    random = np.random.default_rng(SEED)
    writers = [Writer(random) for _ in range(REPORTS)]
    rows = [{"report": f"R{at + 1:03d}", "text": writer.report(), **writer.facts()} for at, writer in enumerate(writers)]
    Path("workspace").mkdir(exist_ok=True)
    Path("hidden").mkdir(exist_ok=True)
    write("labelled.csv", rows[:LABELLED], list(rows[0]))
    write("reports.csv", rows[LABELLED:], ["report", "text"])
    expected = {row["report"]: {name: row[name] for name in writers[0].facts()} for row in rows[LABELLED:]}
    Path("hidden/expected.json").write_text(json.dumps(expected) + "\n", encoding="utf-8")


def write(name: str, rows: list[dict], columns: list[str]) -> None:
    with (Path("workspace") / name).open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns, extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)


if __name__ == "__main__":
    main()
