"""The tariff that is to be found out."""

DAY = 1440
GRACE = 12
DAYTIME = (7 * 60 + 10, 18 * 60 + 40)
DAY_STEP, DAY_PRICE = 20, 80
NIGHT_STEP, NIGHT_PRICE, NIGHT_MOST = 60, 50, 300
MOST = 1450
LUNCH = (11 * 60 + 40, 14 * 60 + 10)
LUNCH_LONGEST, LUNCH_PRICE = 75, 180


def started(minutes: int, step: int) -> int:
    """Return how many steps of that many minutes have begun."""
    return -(-minutes // step)


def fee(arrive: int, leave: int) -> int:
    """Return the price of a stay in cents.

    A stop within the grace is free. Else every step that has begun costs, by day and by night apart; a night costs at most
    ``NIGHT_MOST``, and a stay ``MOST``. A stay within lunch time that is not too long has a price of its own, if that is lower.
    """
    stay = (leave - arrive - 1) % DAY + 1
    if stay <= GRACE:
        return 0
    by_day = sum(DAYTIME[0] <= minute % DAY < DAYTIME[1] for minute in range(arrive, arrive + stay))
    night = min(NIGHT_MOST, started(stay - by_day, NIGHT_STEP) * NIGHT_PRICE)
    price = min(MOST, started(by_day, DAY_STEP) * DAY_PRICE + night)
    at_lunch = LUNCH[0] <= arrive < leave <= LUNCH[1] and stay <= LUNCH_LONGEST
    return min(price, LUNCH_PRICE) if at_lunch else price
