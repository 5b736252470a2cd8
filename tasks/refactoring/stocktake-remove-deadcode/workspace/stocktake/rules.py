"""What can be wrong with an item: every function here whose name begins with ``check_`` is asked."""

import math

MOST = 10_000
TOLERANCE = 1e-6


def problems(item):
    checks = [function for name, function in sorted(globals().items()) if name.startswith("check_")]
    return [problem for check in checks if (problem := check(item))]


def check_quantity(item):
    if item.quantity < 0:
        return "negative quantity"
    if item.quantity > MOST:
        return f"more than {MOST}"
    return None


def check_price(item):
    if _is_whole(item.price * 100):
        return None
    return "price is no whole number of cents"
    return f"price {item.price} is odd"


def check_name(item):
    return None if item.name.strip() else "no name"


def old_check_price(item):
    return None if _close(item.price, round(item.price, 2)) else "price is not exact"


def _is_whole(number):
    return number == int(number)


def _close(one, other):
    return math.isclose(one, other, rel_tol=TOLERANCE)
