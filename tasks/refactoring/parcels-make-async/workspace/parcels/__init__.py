"""A client for a parcel service."""

from parcels.client import Client
from parcels.errors import ApiError, ClosedError, NotFound, Unavailable
from parcels.models import Carrier, Rate, Shipment
from parcels.transport import Request, Response, UrllibTransport

__all__ = [
    "ApiError",
    "Carrier",
    "Client",
    "ClosedError",
    "NotFound",
    "Rate",
    "Request",
    "Response",
    "Shipment",
    "Unavailable",
    "UrllibTransport",
]
