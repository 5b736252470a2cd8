"""What users work with."""

from parcels.pricing import price, total
from parcels.resources import Labels, Rates, Shipments
from parcels.session import Session


class Client:
    """The parcel service.

    To be used in a ``with`` statement, or closed by hand.
    """

    def __init__(self, transport, key, on_event=None):
        self.session = Session(transport, key, on_event)
        self.shipments = Shipments(self.session)
        self.labels = Labels(self.session)
        self.rates = Rates(self.session)

    def __enter__(self):
        self.session.token()
        return self

    def __exit__(self, kind, error, traceback):
        self.close()

    def close(self):
        self.session.close()

    def track(self, ids):
        return {id: self.shipments.get(id).days for id in ids}

    def any_late(self, ids):
        """Say whether one is late; no more are asked for than needed."""
        return any(self.shipments.get(id).late for id in ids)

    def by_weight(self, ids):
        return sorted(ids, key=lambda id: self.shipments.get(id).weight)

    def late(self, **filters):
        return [(shipment.id, self.rates.carrier(shipment.carrier).name) for shipment in self.shipments.list(**filters) if shipment.late]

    def cost(self, ids):
        rates = {rate.carrier: rate for rate in self.rates.all()}
        return total(price(rates[shipment.carrier], shipment.weight) for shipment in map(self.shipments.get, ids))
