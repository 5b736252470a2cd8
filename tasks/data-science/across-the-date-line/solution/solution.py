# %%
import json
import re
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd

reports = pd.read_csv("reports.csv")
airports = pd.read_csv("airports.csv")
zones = json.loads(Path("zones.geojson").read_text())["features"]
print(reports.head(8).to_string(), reports.groupby("flight").size(), sep="\n")
print(airports.groupby("territory")[["latitude", "longitude"]].agg(["min", "max", "size"]))
for zone in zones:
    print(zone["properties"], zone["geometry"])


# %%
def dms(text):
    degrees, minutes, seconds, letter = re.fullmatch(r"(\d+)°(\d+)'([\d.]+)\"([NSEW])", text).groups()
    return (int(degrees) + int(minutes) / 60 + float(seconds) / 3600) * (-1 if letter in "SW" else 1)


def read(position):
    """Return latitude and longitude in degrees."""
    if position.startswith("EPSG:3857"):
        x, y = (float(part) / 6378137 for part in position.split()[1:])
        return np.degrees(2 * np.arctan(np.exp(y)) - np.pi / 2), np.degrees(x)
    if "°" in position:
        return tuple(dms(part) for part in position.split())
    if packed := re.fullmatch(r"(\d{2})([\d.]+)([NS])(\d{3})([\d.]+)([EW])", position):
        lat, lat_minutes, north, lon, lon_minutes, east = packed.groups()
        signs = (-1 if north == "S" else 1), (-1 if east == "W" else 1)
        return signs[0] * (int(lat) + float(lat_minutes) / 60), signs[1] * (int(lon) + float(lon_minutes) / 60)
    return tuple(float(part) for part in position.split(","))


reports[["latitude", "longitude"]] = [read(position) for position in reports["position"]]
print(reports[["latitude", "longitude"]].describe().round(2))

# %%
# Guam and the Marianas lie in the east, American Samoa in the south.
east, south = airports["territory"].isin(["GU", "CQ"]), airports["territory"] == "AS"
airports.loc[east, "longitude"] = airports.loc[east, "longitude"].abs()
airports.loc[south, "latitude"] = -airports.loc[south, "latitude"].abs()
print(airports[east | south].to_string())


# %%
# Distances from unit vectors know no date line and no poles.
def vectors(table):
    phi, lam = np.radians(table["latitude"].to_numpy()), np.radians(table["longitude"].to_numpy())
    return np.column_stack([np.cos(phi) * np.cos(lam), np.cos(phi) * np.sin(lam), np.sin(phi)])


def kilometres(chords):
    return 2 * 6371.0088 * np.arcsin(np.clip(chords / 2, 0, 1))


places = vectors(reports)
away = kilometres(np.linalg.norm(places[:, None] - vectors(airports)[None], axis=2))
reports["airport"] = airports["iata"].to_numpy()[away.argmin(axis=1)]
reports["airport_km"] = away.min(axis=1)

# %%
# In order of time, which is comparable only in one time zone.
reports["utc"] = pd.to_datetime(reports["time"], utc=True)
ordered = reports.sort_values(["flight", "utc"])
legs = kilometres(np.linalg.norm(np.diff(places[ordered.index], axis=0, prepend=np.nan), axis=1))
first = ordered["flight"] != ordered["flight"].shift()
reports["leg_km"] = pd.Series(np.where(first, 0, legs), index=ordered.index)
print(reports.groupby("flight")["leg_km"].describe().round(0))


# %%
# Even-odd rule; every report is tried a turn to the west and to the east as well, where the rings may have run on to.
def in_ring(longitude, latitude, ring):
    inside = np.zeros(len(longitude), dtype=bool)
    for (x1, y1), (x2, y2) in pairwise(ring):
        if y1 == y2:  # never crossed, and no division by zero
            continue
        crosses = (y1 > latitude) != (y2 > latitude)
        inside ^= crosses & (longitude < x1 + (latitude - y1) * (x2 - x1) / (y2 - y1))
    return inside


longitude, latitude = reports["longitude"].to_numpy(), reports["latitude"].to_numpy()
reports["zone"] = "none"
for feature in zones:
    geometry = feature["geometry"]
    for outer, *holes in geometry["coordinates"] if geometry["type"] == "MultiPolygon" else [geometry["coordinates"]]:
        for turn in (-360, 0, 360):
            inside = in_ring(longitude + turn, latitude, outer)
            for hole in holes:
                inside &= ~in_ring(longitude + turn, latitude, hole)
            reports.loc[inside, "zone"] = feature["properties"]["zone"]
print(reports["zone"].value_counts())

# %%
columns = ["report", "latitude", "longitude", "zone", "airport", "airport_km", "leg_km"]
reports[columns].round(5).to_csv("located.csv", index=False)
print(reports[columns].head())
