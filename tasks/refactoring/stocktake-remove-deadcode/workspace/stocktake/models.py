"""What an inventory consists of."""

import decimal
import functools
from dataclasses import astuple, dataclass, field

CENT = decimal.Decimal("0.01")
VAT = decimal.Decimal("1.19")


@functools.total_ordering
@dataclass(eq=False)
class Item:
    name: str
    quantity: int
    price: decimal.Decimal
    shelf: str = ""

    def __post_init__(self):
        self.quantity = int(self.quantity)
        self.price = decimal.Decimal(str(self.price))

    def __eq__(self, other):
        return self._order() == other._order()

    def __lt__(self, other):
        return self._order() < other._order()

    def _order(self):
        return self.shelf, self.name

    @property
    def total(self):
        return (self.quantity * self.price).quantize(CENT)

    @property
    def gross(self):
        return (self.total * VAT).quantize(CENT)

    @property
    def place(self):
        return self.shelf or "-"

    def as_tuple(self):
        return astuple(self)

    @classmethod
    def from_tuple(cls, values):
        return cls(*values)


@dataclass
class Batch:
    """Items that came in together."""

    items: list = field(default_factory=list)

    @property
    def total(self):
        return sum(item.total for item in self.items)
