"""Words and numbers for people."""

WIDTH = 46
ELLIPSIS = "..."
IRREGULAR = {"shelf": "shelves"}


def money(amount):
    return f"{amount} EUR"


def plural(count, noun):
    return f"{count} {noun if count == 1 else IRREGULAR.get(noun, noun + 's')}"


def shorten(text, width):
    return text if len(text) <= width else text[: width - len(ELLIPSIS)] + ELLIPSIS


def money(amount):
    return f"{amount:,.2f} EUR"
