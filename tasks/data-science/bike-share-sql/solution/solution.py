# %%
import json

import duckdb

database = duckdb.connect("bikes.duckdb", read_only=True)
for (table,) in database.execute("SELECT table_name FROM duckdb_tables() ORDER BY 1").fetchall():
    print(database.execute(f"SUMMARIZE {table}").df()[["column_name", "column_type", "min", "max", "null_percentage"]])

# %%
queries = {}
queries["charge_at_start"] = """
SELECT trip, CASE WHEN started - read_at <= INTERVAL 2 HOUR THEN charge END
FROM trips ASOF LEFT JOIN battery ON trips.bike = battery.bike AND trips.started >= battery.read_at
ORDER BY trip
"""
queries["revenue"] = """
SELECT date_trunc('month', started)::DATE AS month, round(sum(unlock + per_minute * ceil(epoch(ended - started) / 60)), 2)
FROM trips ASOF JOIN prices ON started >= valid_from
WHERE ended IS NOT NULL
GROUP BY month ORDER BY month
"""
queries["parts"] = """
WITH fitted AS (SELECT bike, unnest(parts) AS fit FROM repairs)
SELECT fit.part, count(*), count(DISTINCT bike), sum(fit.cost) FROM fitted GROUP BY 1 ORDER BY 1
"""
queries["outings"] = """
WITH marked AS (
    SELECT rider, started, coalesce(started > lag(coalesce(ended, started)) OVER w + INTERVAL 30 MINUTE, true) AS first
    FROM trips WINDOW w AS (PARTITION BY rider ORDER BY started)
), numbered AS (SELECT rider, sum(first::INT) OVER (PARTITION BY rider ORDER BY started) AS outing FROM marked),
sized AS (SELECT rider, outing, count(*) AS size FROM numbered GROUP BY ALL)
SELECT rider, count(*), max(size) FROM sized GROUP BY rider ORDER BY rider
"""
queries["destinations"] = """
WITH counted AS (
    SELECT start_station, end_station, count(*) AS trips FROM trips WHERE ended IS NOT NULL GROUP BY ALL
), ranked AS (SELECT *, row_number() OVER (PARTITION BY start_station ORDER BY trips DESC, end_station) AS nth FROM counted)
SELECT station, nth, end_station, coalesce(trips, 0)
FROM stations LEFT JOIN ranked ON station = start_station AND nth <= 2
ORDER BY station, nth
"""
queries["busiest"] = """
WITH changes AS (
    SELECT started AS moment, 1 AS change FROM trips WHERE ended IS NOT NULL
    UNION ALL SELECT ended, -1 FROM trips WHERE ended IS NOT NULL
), moments AS (SELECT moment, sum(change) AS change FROM changes GROUP BY moment),
levels AS (SELECT moment, sum(change) OVER (ORDER BY moment) AS bikes FROM moments)
SELECT bikes, moment FROM levels ORDER BY bikes DESC, moment LIMIT 1
"""
queries["tags"] = """
WITH tagged AS (SELECT station, docks, unnest(tags) AS tag FROM stations),
lengths AS (
    SELECT tag, median(epoch(ended - started) / 60) AS minutes
    FROM tagged JOIN trips ON station = start_station WHERE ended IS NOT NULL GROUP BY tag
)
SELECT tag, count(*), sum(docks), any_value(minutes) FROM tagged LEFT JOIN lengths USING (tag) GROUP BY tag ORDER BY tag
"""
queries["pauses"] = """
WITH days AS (SELECT DISTINCT started::DATE AS day FROM trips),
following AS (SELECT day, lead(day) OVER (ORDER BY day) AS next FROM days)
SELECT day + 1, next - 1, next - day - 1 FROM following WHERE next - day > 1 ORDER BY day
"""

# %%
for name, query in queries.items():
    print(name, database.execute(query).df().head(6), sep="\n")

# %%
with open("queries.json", "w") as file:
    json.dump(queries, file, indent=2)
