# %%
import csv
from pathlib import Path

tickets = [[int(row[name]) for name in ("arrive", "leave", "fee")] for row in csv.DictReader(Path("tickets.csv").read_text().splitlines())]
print(tickets)
asked = {}


def price(arrive, leave):
    pair = (arrive % 1440, leave % 1440)
    if pair not in asked:
        asked[pair] = ask_meter(*pair)  # noqa: F821 - a function of the task
    return asked[pair]


def first(low, high, holds):
    """Return the first number above low, up to high, for which it holds."""
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if holds(middle) else (middle, high)
    return high


# %%
# A stop of 25 minutes at different times of the day and night, and the same minute: what kinds of time are there?
print([(hour, price(hour * 60, hour * 60 + 25)) for hour in (0, 6, 7, 8, 12, 15, 18, 19, 22)], price(600, 600))

# %%
# How long is free? Then the steps: what the price is just before and after it goes up, by day and by night.
grace = first(0, 25, lambda stay: price(600, 600 + stay) > 0) - 1
print("free", grace, "at night too", price(120, 120 + grace), price(120, 121 + grace))
step = first(grace, 60, lambda stay: price(600, 600 + stay) > 80) - 1
print("step by day", step, [price(540, 540 + stay) for stay in (2 * step, 2 * step + 1, 5 * step, 5 * step + 1)])
night_step = first(25, 200, lambda stay: price(60, 60 + stay) > 50) - 1
print("step by night", night_step, [price(60, 60 + stay) for stay in (2 * night_step, 2 * night_step + 1)])

# %%
# When the day begins and ends: where a stop of 15 minutes begins and ceases to cost more than it does at night.
begins = first(360, 480, lambda minute: price(minute - 15, minute) > 50) - 1
ends = first(1080, 1140, lambda minute: price(minute, minute + 15) == 50)
print("day", divmod(begins, 60), "to", divmod(ends, 60), "both parts pay:", price(begins - 30, begins + 30))

# %%
# The most that a night and a stay cost.
print("nights", [price(ends, ends + 60 * hours) for hours in (5, 6, 7, 9, 12)], "a whole day", price(ends, ends))
print("days", [price(begins, begins + 20 * steps) for steps in (17, 18, 19, 30)], price(ends - 300, begins + 60))

# %%
# Lunch: where does a stay of an hour not cost three steps? Then its two ends, how long it may last, and what shorter ones cost.
print([(start, price(start, start + 60)) for start in range(660, 840, 30)])

# %%
lunch_from = first(690, 720, lambda start: price(start, start + 60) < 240)
lunch_to = first(840, 870, lambda end: price(end - 60, end) == 240) - 1
longest = first(60, 100, lambda stay: price(lunch_from, lunch_from + stay) > 180) - 1
print(divmod(lunch_from, 60), divmod(lunch_to, 60), longest, [price(lunch_from, lunch_from + stay) for stay in (10, 20, 21, 40, 41, 75)])

# %%
print(len(asked), "questions")


def guess(arrive, leave):
    stay = (leave - arrive - 1) % 1440 + 1
    if stay <= 12:
        return 0
    day = sum(430 <= minute % 1440 < 1120 for minute in range(arrive, arrive + stay))
    price = min(1450, -(-day // 20) * 80 + min(300, -(-(stay - day) // 60) * 50))
    if 700 <= arrive < leave <= 850 and stay <= 75:
        price = min(price, 180)
    return price


print("wrong:", [(pair, right, guess(*pair)) for pair, right in asked.items() if guess(*pair) != right])
print("tickets wrong:", [(arrive, leave, paid) for arrive, leave, paid in tickets if guess(arrive, leave) != paid])
