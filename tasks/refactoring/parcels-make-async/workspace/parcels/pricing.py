"""Prices, from what is known already."""


def price(rate, weight):
    return round(rate.base + rate.per_kg * weight, 2)


def total(priced):
    return round(sum(priced), 2)
