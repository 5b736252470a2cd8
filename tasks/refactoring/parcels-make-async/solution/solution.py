# %%
import subprocess
import sys
from pathlib import Path

for path in sorted(Path("parcels").glob("*.py")):
    print(f"--- {path}\n{path.read_text()}")


# %%
def edit(name, *changes):
    """Make each replacement, which must fit exactly once."""
    path = Path("parcels") / name
    text = path.read_text()
    for old, new in changes:
        assert text.count(old) == 1, (name, old, text.count(old))
        text = text.replace(old, new)
    path.write_text(text)


edit(
    "transport.py",
    ("import json\n", "import asyncio\nimport json\n"),
    (
        "    def send(self, request):\n        return self._send(request)",
        "    async def send(self, request):\n        return await asyncio.to_thread(self._send, request)",
    ),
    ("    def close(self):", "    async def close(self):"),
)
edit(
    "session.py",
    ("import threading\nimport time\n", "import asyncio\n"),
    ("threading.Lock()", "asyncio.Lock()"),
    ("    def request(", "    async def request("),
    (
        "        response = self._attempt(Request(method, path, params or {}, body, self.token()))\n        if response.status == 401",
        "        response = await self._attempt(Request(method, path, params or {}, body, await self.token()))\n"
        "        if response.status == 401",
    ),
    (
        "            response = self._attempt(Request(method, path, params or {}, body, self.token()))",
        "            response = await self._attempt(Request(method, path, params or {}, body, await self.token()))",
    ),
    ("    def token(", "    async def token("),
    ("        with self._lock", "        async with self._lock"),
    ('response = self._attempt(Request("POST"', 'response = await self._attempt(Request("POST"'),
    ("    def close(", "    async def close("),
    ("            self.transport.close()", "            await self.transport.close()"),
    ("    def _attempt(", "    async def _attempt("),
    ("= self.transport.send(", "= await self.transport.send("),
    ("time.sleep(", "await asyncio.sleep("),
)
edit(
    "client.py",
    ("    def __enter__(self):\n        self.", "    async def __aenter__(self):\n        await self."),
    (
        "    def __exit__(self, kind, error, traceback):\n        self.",
        "    async def __aexit__(self, kind, error, traceback):\n        await self.",
    ),
    ("    def close(self):\n        self.", "    async def close(self):\n        await self."),
    ("    def track(self", "    async def track(self"),
    ("{id: self.shipments.get(id).days for", "{id: (await self.shipments.get(id)).days for"),
    ("    def any_late(self", "    async def any_late(self"),
    # any() can't take an asynchronous generator
    (
        "        return any(self.shipments.get(id).late for id in ids)",
        "        for id in ids:\n            if (await self.shipments.get(id)).late:\n                return True\n        return False",
    ),
    (
        "    def by_weight(self, ids):\n",
        "    async def by_weight(self, ids):\n        weights = [((await self.shipments.get(id)).weight, id) for id in ids]\n",
    ),
    ("sorted(ids, key=lambda id: self.shipments.get(id).weight)", "[id for _, id in sorted(weights, key=lambda weighed: weighed[0])]"),
    ("    def late(self", "    async def late(self"),
    (
        "        return [(shipment.id, self.rates.carrier(shipment.carrier).name)"
        " for shipment in self.shipments.list(**filters) if shipment.late]",
        "        found = self.shipments.list(**filters)\n"
        "        return [(shipment.id, (await self.rates.carrier(shipment.carrier)).name) async for shipment in found if shipment.late]",
    ),
    ("    def cost(self", "    async def cost(self"),
    ("in self.rates.all()}", "in await self.rates.all()}"),
    (
        "        return total(price(rates[shipment.carrier], shipment.weight) for shipment in map(self.shipments.get, ids))",
        "        shipments = [await self.shipments.get(id) for id in ids]\n"
        "        return total(price(rates[shipment.carrier], shipment.weight) for shipment in shipments)",
    ),
)
edit(
    "cli.py",
    ("import sys\n", "import asyncio\nimport sys\n"),
    ("def report(", "async def report("),
    ("in client.late()", "in await client.late()"),
    ("{client.shipments.count()}", "{await client.shipments.count()}"),
    ("{client.cost(ids):.2f}", "{await client.cost(ids):.2f}"),
    (
        'def main(arguments, transport):\n    """Run a command and return its exit status."""\n    command',
        "async def run(arguments, transport):\n    command",
    ),
    ("        with Client(", "        async with Client("),
    ("            for line in report", "            async for line in report"),
    (
        "        return 1\n    return 0\n",
        "        return 1\n"
        "    return 0\n"
        "\n"
        "\n"
        "def main(arguments, transport):\n"
        '    """Run a command and return its exit status."""\n'
        "    return asyncio.run(run(arguments, transport))\n",
    ),
)

# %%
# The cache of functools would keep coroutines, which can be awaited once: keep the carriers themselves.
edit(
    "resources.py",
    ("import functools\n\n", ""),
    ("    def __iter__(", "    def __aiter__("),
    (
        "    def get(self, id):\n        return Shipment.from_data(self",
        "    async def get(self, id):\n        return Shipment.from_data(await self",
    ),
    ("    def list(", "    async def list("),
    ("page = self.", "page = await self."),
    (
        '            yield from map(Shipment.from_data, page["items"])',
        '            for data in page["items"]:\n                yield Shipment.from_data(data)',
    ),
    (
        "    def create(self, **fields):\n        return Shipment.from_data(self",
        "    async def create(self, **fields):\n        return Shipment.from_data(await self",
    ),
    ("    def cancel(self, id):\n        self", "    async def cancel(self, id):\n        await self"),
    ("    def count(", "    async def count("),
    ("        return sum(1 for _ in self.list(**filters))", "        return sum([1 async for _ in self.list(**filters)])"),
    ("    def download(", "    async def download("),
    ("started = self.", "started = await self."),
    (
        'yield self.session.request("GET", f"/downloads/{started[\'id\']}/{part}")["text"]',
        'yield (await self.session.request("GET", f"/downloads/{started[\'id\']}/{part}"))["text"]',
    ),
    ('            self.session.request("DELETE", f"/downloads', '            await self.session.request("DELETE", f"/downloads'),
    ("    def text(", "    async def text("),
    ('"".join(self.download(id))', '"".join([piece async for piece in self.download(id)])'),
    (
        "class Rates:\n    def __init__(self, session):\n        self.session = session\n",
        "class Rates:\n    def __init__(self, session):\n        self.session = session\n        self._carriers = {}\n",
    ),
    ("    def all(", "    async def all("),
    ('in self.session.request("GET", "/rates")["items"]', 'in (await self.session.request("GET", "/rates"))["items"]'),
    ("    def cheapest(", "    async def cheapest("),
    ("min(self.all(),", "min(await self.all(),"),
    ("    @functools.lru_cache(maxsize=32)\n    def carrier(", "    async def carrier("),
    (
        '        return Carrier(code, self.session.request("GET", f"/carriers/{code}")["name"])',
        "        if code not in self._carriers:\n"
        '            self._carriers[code] = Carrier(code, (await self.session.request("GET", f"/carriers/{code}"))["name"])\n'
        "        return self._carriers[code]",
    ),
)

# %%
probe = """
import sys
sys.path.insert(0, ".")
from parcels import Response, cli

class Stub:
    async def send(self, request):
        print(request.method, request.path, request.params)
        item = {"id": "s", "carrier": "c", "weight": 1, "days": 3, "due": 2}
        return Response(200, {"token": "t", "items": [item], "name": "Post", **item})

    async def close(self):
        print("closed")

print(cli.main(["late"], Stub()))
"""
done = subprocess.run([sys.executable, "-B", "-W", "error", "-c", probe], capture_output=True, text=True)
print(done.stdout, done.stderr[-1500:])
