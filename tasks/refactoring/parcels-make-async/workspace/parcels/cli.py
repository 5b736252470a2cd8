"""The command line: ``late`` and ``cost ID...``."""

import sys

from parcels.client import Client
from parcels.errors import ApiError


def report(client, command, ids):
    """Yield the lines to print."""
    if command == "late":
        for id, carrier in client.late():
            yield f"{id} by {carrier}"
        yield f"of {client.shipments.count()} shipments"
    elif command == "cost":
        yield f"{client.cost(ids):.2f}"
    else:
        yield f"no command {command}"


def main(arguments, transport):
    """Run a command and return its exit status."""
    command, *ids = arguments
    try:
        with Client(transport, key="cli") as client:
            for line in report(client, command, ids):
                print(line)
    except ApiError as error:
        print(f"parcels: {error}", file=sys.stderr)
        return 1
    return 0
