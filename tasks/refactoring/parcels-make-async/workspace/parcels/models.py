"""What the service knows."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Shipment:
    id: str
    carrier: str
    weight: float
    days: int
    due: int

    @property
    def late(self):
        return self.days > self.due

    @classmethod
    def from_data(cls, data):
        return cls(data["id"], data["carrier"], float(data["weight"]), int(data["days"]), int(data["due"]))


@dataclass(frozen=True)
class Rate:
    carrier: str
    base: float
    per_kg: float

    @classmethod
    def from_data(cls, data):
        return cls(data["carrier"], float(data["base"]), float(data["per_kg"]))


@dataclass(frozen=True)
class Carrier:
    code: str
    name: str
