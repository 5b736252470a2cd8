"""Fly over the Pacific: zones, position reports in four forms, and what is true of each report.

A flight goes along the great circle between two places at 800 to 950 km/h and is blown off it by some tens of kilometres; it reports
about every half hour. Reports so close to a border or so near to two airports that rounding could decide are left out.
"""

import csv
import json
from datetime import UTC, datetime, timedelta, timezone
from itertools import pairwise
from pathlib import Path

import numpy as np

SEED = 518_204_637
RADIUS, MERCATOR = 6371.0088, 6378137.0
ZONES = {
    # as RFC 7946 has it: cut at the 180th meridian
    "bering": [
        [[[163, 49], [180, 47.5], [180, 61], [171, 59], [163, 49]]],
        [[[-180, 47.5], [-166, 50], [-158, 57.5], [-169, 64], [-180, 61], [-180, 47.5]]],
    ],
    # as many programs write it: longitudes run on
    "wake": [[[[158, 12], [176, 9], [193, 16], [196, 28], [184, 33.5], [166, 30], [158, 12]]]],
    "hawaii": [
        [
            [[-163, 11], [-148, 13], [-145, 26], [-162, 31], [-163, 11]],
            [[-159, 20], [-155, 21.5], [-156.5, 24.5], [-160, 22.5], [-159, 20]],
        ]
    ],
    "arctic": [[[[-180, 70], [180, 70], [180, 90], [-180, 90], [-180, 70]]]],
    "marianas": [[[[140, 9], [151, 11], [149, 22], [141.5, 20.5], [140, 9]]]],
    # longitudes run on in the other direction
    "samoa": [[[[-187, -24], [-164, -22], [-162, -8], [-176, -3.5], [-185, -9], [-187, -24]]]],
}
PLACES = {
    "Anchorage": (61.17, -150.0),
    "Honolulu": (21.32, -157.92),
    "Guam": (13.48, 144.8),
    "Pago Pago": (-14.33, -170.71),
    "Adak": (51.88, -176.65),
    "Fairbanks": (64.8, -147.9),
    "Tokyo": (35.77, 140.39),
    "Auckland": (-37.01, 174.79),
    "Nadi": (-17.76, 177.44),
    "Petropavlovsk": (53.17, 158.45),
    "Majuro": (7.06, 171.27),
    "Murmansk": (68.78, 32.75),
    "Yap": (9.5, 138.1),
    "Kiritimati": (1.99, -157.35),
}
ROUTES = [
    ("Anchorage", "Tokyo"),
    ("Honolulu", "Guam"),
    ("Auckland", "Honolulu"),
    ("Fairbanks", "Murmansk"),
    ("Adak", "Petropavlovsk"),
    ("Nadi", "Pago Pago"),
    ("Majuro", "Honolulu"),
    ("Yap", "Honolulu"),
    ("Tokyo", "Honolulu"),
    ("Kiritimati", "Nadi"),
    ("Petropavlovsk", "Anchorage"),
    ("Guam", "Adak"),
    ("Pago Pago", "Majuro"),
    ("Murmansk", "Anchorage"),
]


def vector(latitude, longitude) -> np.ndarray:
    phi, lam = np.radians(latitude), np.radians(longitude)
    return np.stack([np.cos(phi) * np.cos(lam), np.cos(phi) * np.sin(lam), np.sin(phi)], axis=-1)


def distance(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return the great-circle distance in km; the chord is exact for short distances too."""
    return 2 * RADIUS * np.arcsin(np.clip(np.linalg.norm(a - b, axis=-1) / 2, 0, 1))


def degrees(point: np.ndarray) -> tuple[float, float]:
    return float(np.degrees(np.arcsin(point[2]))), float(np.degrees(np.arctan2(point[1], point[0])))


def in_ring(longitude: float, latitude: float, ring: list) -> bool:
    inside = False
    for (x1, y1), (x2, y2) in pairwise(ring):
        if (y1 > latitude) != (y2 > latitude) and longitude < x1 + (latitude - y1) * (x2 - x1) / (y2 - y1):
            inside = not inside
    return inside


def zone_at(latitude: float, longitude: float) -> str:
    for name, polygons in ZONES.items():
        for outer, *holes in polygons:
            for turn in (-360, 0, 360):
                if in_ring(longitude + turn, latitude, outer) and not any(in_ring(longitude + turn, latitude, hole) for hole in holes):
                    return name
    return "none"


def is_near_border(latitude: float, longitude: float, margin: float = 0.02) -> bool:
    around = [(up, right) for up in (-margin, 0, margin) for right in (-margin, 0, margin)]
    return len({zone_at(latitude + up, longitude + right) for up, right in around}) > 1


def sexagesimal(value: float, letters: str) -> str:
    tenths = round(abs(value) * 36000)
    letter = letters[0] if value >= 0 else letters[1]
    return f"{tenths // 36000}°{tenths // 600 % 60:02d}'{tenths % 600 / 10:04.1f}\"{letter}"


def packed(value: float, letters: str, digits: int) -> str:
    thousandths = round(abs(value) * 60000)
    return f"{thousandths // 60000:0{digits}d}{thousandths % 60000 / 1000:06.3f}{letters[0] if value >= 0 else letters[1]}"


def mercator(latitude: float, longitude: float) -> str:
    x, y = MERCATOR * np.radians(longitude), MERCATOR * np.log(np.tan(np.pi / 4 + np.radians(latitude) / 2))
    return f"EPSG:3857 {x:.0f} {y:.0f}"


def written(latitude: float, longitude: float, form: int) -> str:
    if form == 0 or (form == 3 and abs(latitude) > 85):  # web maps end there
        return f"{latitude:.5f}, {longitude:.5f}"
    if form == 1:
        return f"{sexagesimal(latitude, 'NS')} {sexagesimal(longitude, 'EW')}"
    if form == 2:
        return packed(latitude, "NS", 2) + packed(longitude, "EW", 3)
    return mercator(latitude, longitude)


def airports(path: Path) -> tuple[list[str], np.ndarray]:
    """Return codes and places, with the signs that the published file has lost."""
    codes, points = [], []
    for row in csv.DictReader(path.open(encoding="utf-8")):
        latitude, longitude = float(row["latitude"]), float(row["longitude"])
        if row["territory"] in ("GU", "CQ"):
            longitude = abs(longitude)
        if row["territory"] == "AS":
            latitude = -abs(latitude)
        codes.append(row["iata"])
        points.append(vector(latitude, longitude))
    return codes, np.array(points)


def fly(start: str, end: str, random: np.random.RandomState) -> list[tuple[datetime, float, float]]:
    a, b = vector(*PLACES[start]), vector(*PLACES[end])
    angle = np.arccos(a @ b)
    time = datetime(2024, 3, 1, tzinfo=UTC) + timedelta(minutes=int(random.randint(0, 14 * 1440)))
    speed = random.uniform(800, 950)
    flown, reports = 0.0, []
    while flown < angle * RADIUS:
        share = flown / (angle * RADIUS)
        point = (np.sin((1 - share) * angle) * a + np.sin(share * angle) * b) / np.sin(angle) + random.normal(0, 0.004, 3)
        reports.append((time, *degrees(point / np.linalg.norm(point))))
        minutes = int(random.randint(15, 35))
        time += timedelta(minutes=minutes)
        flown += speed * minutes / 60
    return reports


def main() -> None:
    random = np.random.RandomState(SEED)
    codes, places = airports(Path(__file__).parent / "workspace" / "airports.csv")
    rows = []
    for flight, route in enumerate(ROUTES):
        before = None
        for time, latitude, longitude in fly(*route, random):
            point = vector(latitude, longitude)
            away = distance(places, point)
            nearest, second = np.argsort(away)[:2]
            if is_near_border(latitude, longitude) or away[second] - away[nearest] < 2:
                continue
            offset = timezone(timedelta(hours=int(random.randint(-11, 13))))
            position = written(latitude, longitude, int(random.randint(4)))
            leg = 0.0 if before is None else float(distance(point, before))
            truth = [latitude, longitude, zone_at(latitude, longitude), codes[nearest], float(away[nearest]), leg]
            rows.append(([f"WB{100 + 7 * flight}", time.astimezone(offset).isoformat(timespec="minutes"), position], truth))
            before = point
    workspace, hidden = Path("workspace"), Path("hidden")
    workspace.mkdir(exist_ok=True)
    hidden.mkdir(exist_ok=True)
    shuffled = [rows[index] for index in random.permutation(len(rows))]
    with (workspace / "reports.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([["report", "flight", "time", "position"], *([i, *shown] for i, (shown, _) in enumerate(shuffled))])
    columns = ["latitude", "longitude", "zone", "airport", "airport_km", "leg_km"]
    truths = {i: dict(zip(columns, truth, strict=True)) for i, (_, truth) in enumerate(shuffled)}
    (hidden / "expected.json").write_text(json.dumps(truths, indent=1) + "\n", encoding="utf-8")
    features = [
        {"type": "Feature", "properties": {"zone": name}, "geometry": {"type": "MultiPolygon", "coordinates": polygons}}
        if len(polygons) > 1
        else {"type": "Feature", "properties": {"zone": name}, "geometry": {"type": "Polygon", "coordinates": polygons[0]}}
        for name, polygons in ZONES.items()
    ]
    collection = {"type": "FeatureCollection", "features": features}
    (workspace / "zones.geojson").write_text(json.dumps(collection, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
