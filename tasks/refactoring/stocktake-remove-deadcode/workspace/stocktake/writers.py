"""Writers of reports."""

from stocktake.texts import WIDTH, money, plural


class Writer:
    """Writes a header, a line for each item, and a footer."""

    template = "{item.name}"

    def write(self, items):
        lines = [self.line(item) for item in items]
        return [*self.header(), *lines, *self.footer(items)]

    def line(self, item):
        return self.template.format(item=item)

    def header(self):
        return []

    def footer(self, items):
        return []

    def rule(self):
        return ["-" * WIDTH]


class TextWriter(Writer):
    template = "{item.place:<6}{item.name:<20}{item.quantity:>6}{item.total:>14}"

    def header(self):
        return ["STOCK".center(WIDTH)]

    def footer(self, items):
        return [*self.rule(), f"{plural(len(items), 'item')}, {money(sum(item.total for item in items))}"]


class ShortWriter(Writer):
    def header(self):
        return []

    def subtitle(self):
        return ["short"]


class CsvWriter(Writer):
    template = "{item.name},{item.quantity},{item.gross}"

    def header(self):
        return ["name,quantity,gross"]
