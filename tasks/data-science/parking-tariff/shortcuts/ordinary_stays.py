"""Answer with what the tickets of ordinary stays show: steps by day and by night, and the most that a stay costs."""

from pathlib import Path

print(Path("tickets.csv").read_text())
