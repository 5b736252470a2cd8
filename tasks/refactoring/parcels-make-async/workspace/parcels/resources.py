"""The kinds of things the service has."""

import functools

from parcels.models import Carrier, Rate, Shipment
from parcels.pricing import price


class Shipments:
    def __init__(self, session):
        self.session = session

    def __iter__(self):
        return self.list()

    def get(self, id):
        return Shipment.from_data(self.session.request("GET", f"/shipments/{id}"))

    def list(self, **filters):
        """Yield shipments; a page is fetched when it is needed."""
        cursor = ""
        while cursor is not None:
            page = self.session.request("GET", "/shipments", {**filters, "cursor": cursor})
            yield from map(Shipment.from_data, page["items"])
            cursor = page.get("next")

    def create(self, **fields):
        return Shipment.from_data(self.session.request("POST", "/shipments", body=fields))

    def cancel(self, id):
        self.session.request("DELETE", f"/shipments/{id}")

    def count(self, **filters):
        return sum(1 for _ in self.list(**filters))


class Labels:
    def __init__(self, session):
        self.session = session

    def download(self, id):
        """Yield a label in pieces; the service is told when it is done with, however that comes about."""
        started = self.session.request("POST", "/downloads", body={"shipment": id})
        try:
            for part in range(started["parts"]):
                yield self.session.request("GET", f"/downloads/{started['id']}/{part}")["text"]
        finally:
            self.session.request("DELETE", f"/downloads/{started['id']}")

    def text(self, id):
        return "".join(self.download(id))


class Rates:
    def __init__(self, session):
        self.session = session

    def all(self):
        return [Rate.from_data(data) for data in self.session.request("GET", "/rates")["items"]]

    def cheapest(self, weight):
        return min(self.all(), key=lambda rate: price(rate, weight))

    @functools.lru_cache(maxsize=32)
    def carrier(self, code):
        """Return a carrier, which is asked for once."""
        return Carrier(code, self.session.request("GET", f"/carriers/{code}")["name"])
