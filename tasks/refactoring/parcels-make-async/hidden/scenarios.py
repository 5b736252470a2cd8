"""Use the client in many ways over a transport that records what is sent; print what came of each. Run beside the package."""

import asyncio
import contextlib
import importlib
import inspect
import io
import json
import threading
import time
import warnings

warnings.simplefilter("ignore")
pauses = []
real_sleep = asyncio.sleep


async def sleep(seconds, result=None):
    if seconds:
        pauses.append(seconds)
    return await real_sleep(0, result)


def blocked(seconds):
    raise AssertionError("the event loop was blocked")


asyncio.sleep = sleep
time.sleep = blocked
parcels = importlib.import_module("parcels")
cli = importlib.import_module("parcels.cli")

CARRIERS = {"p": "Post", "q": "Quick", "r": "Rail"}
SHIPMENTS = {
    f"s{n}": {"id": f"s{n}", "carrier": "pqr"[n % 3], "weight": (n * 7) % 11, "days": n % 4, "due": 2 - n % 2} for n in range(1, 10)
}


class Service:
    """A transport that is the service too."""

    def __init__(self):
        self.sent = []
        self.answers = []  # given before all others, one a request
        self.missing = set()
        self.tokens = self.waiting = self.most_waiting = self.closed = 0

    async def send(self, request):
        self.sent.append(" ".join([request.method, request.path, *(f"{k}={v}" for k, v in request.params.items()), request.token or "-"]))
        self.waiting += 1
        self.most_waiting = max(self.most_waiting, self.waiting)
        for _ in range(3):
            await real_sleep(0)
        self.waiting -= 1
        if self.answers:
            status = self.answers.pop(0)
            if status != 200:
                return parcels.Response(status, {"error": f"status {status}"})
        return self.answer(request)

    async def close(self):
        await real_sleep(0)
        self.closed += 1

    def answer(self, request):
        match [request.method, *request.path.strip("/").split("/")]:
            case ["POST", "token"]:
                self.tokens += 1
                return parcels.Response(200, {"token": f"t{self.tokens}"})
            case ["GET", "shipments"]:
                first = int(request.params["cursor"] or 0)
                wanted = [data for data in SHIPMENTS.values() if all(data.get(k) == v for k, v in request.params.items() if k != "cursor")]
                following = str(first + 3) if first + 3 < len(wanted) else None
                return parcels.Response(200, {"items": wanted[first : first + 3], "next": following})
            case ["GET", "shipments", id] if id in SHIPMENTS:
                return parcels.Response(200, SHIPMENTS[id])
            case ["POST", "shipments"]:
                return parcels.Response(200, {**SHIPMENTS["s1"], **request.body})
            case ["DELETE", *_]:
                return parcels.Response(200, {})
            case ["POST", "downloads"]:
                return parcels.Response(200, {"id": "d1", "parts": 3})
            case ["GET", "downloads", _, part]:
                return parcels.Response(200, {"text": f"<{part}>"})
            case ["GET", "rates"]:
                items = [{"carrier": code, "base": base, "per_kg": 6 - base} for base, code in enumerate(CARRIERS, start=3)]
                return parcels.Response(200, {"items": items})
            case ["GET", "carriers", code] if code not in self.missing:
                return parcels.Response(200, {"name": CARRIERS[code]})
        return parcels.Response(404, {"error": "no such thing"})


async def tried(awaitable):
    try:
        return await awaitable
    except Exception as error:
        return [type(error).__name__, str(error)]


async def one(client, service):
    return [await client.shipments.get("s1"), await tried(client.shipments.get("s99"))]


async def pages(client, service):
    seen = []
    async for shipment in client.shipments:
        seen.append([shipment.id, len(service.sent)])
        if len(seen) == 4:
            break
    return [seen, [shipment.id async for shipment in client.shipments.list(carrier="p")], await client.shipments.count(carrier="q")]


async def changes(client, service):
    return [await client.shipments.create(id="new", weight=3), await client.shipments.cancel("s2")]


async def retries(client, service):
    service.answers = [200, 503, 503, 200]
    found = await client.shipments.get("s2")
    service.answers = [503] * 4
    return [found, await tried(client.shipments.get("s3")), list(pauses)]


async def expired(client, service):
    service.answers = [200, 200, 401]
    await client.shipments.get("s1")
    found = await client.shipments.get("s2")
    service.answers = [401, 200, 401]
    return [found, await tried(client.shipments.get("s3"))]


async def together(client, service):
    found = await asyncio.gather(*(client.shipments.get(id) for id in ("s1", "s2", "s3")))
    return [[shipment.id for shipment in found], service.tokens, service.most_waiting]


async def refused(client, service):
    service.answers = [403]
    return [await tried(client.session.token()), await client.session.token(), await client.session.token()]


async def carriers(client, service):
    service.missing = {"q"}
    first = [await client.rates.carrier("p"), await client.rates.carrier("p"), await tried(client.rates.carrier("q"))]
    service.missing = set()
    return [*first, await client.rates.carrier("q"), await client.rates.carrier("q"), await client.rates.carrier(code="r")]


async def rates(client, service):
    return [await client.rates.all(), await client.rates.cheapest(2), await client.rates.cheapest(0.5)]


async def many(client, service):
    return [
        await client.track(["s3", "s1"]),
        await client.any_late(["s1", "s3", "s2"]),
        await client.any_late(["s1", "s4"]),
        await client.any_late([]),
        await client.by_weight(["s1", "s2", "s3", "s9", "s8"]),
        await client.cost(iter(["s1", "s5"])),
    ]


async def late(client, service):
    return [await client.late(), await client.late(carrier="p")]


async def downloads(client, service):
    whole = await client.labels.text("s1")
    pieces = client.labels.download("s2")
    first = await anext(pieces)
    await pieces.aclose()
    broken = client.labels.download("s3")
    service.answers = [200, 404]
    return [whole, first, await tried(anext(broken))]


async def contexts(client, service):
    said = []
    async with client as inside:
        said += [inside is client, service.tokens, await client.track(["s1"])]
    await client.close()
    said += [service.closed, await tried(client.shipments.get("s1"))]
    other = Service()
    try:
        async with parcels.Client(other, "k"):
            raise KeyError("inside")
    except KeyError as error:
        said += [str(error), other.closed]
    return said


async def thread(client, service):
    transport = parcels.UrllibTransport("http://localhost")
    main = threading.get_ident()
    transport._send = lambda request: [request, threading.get_ident() != main]
    return [await transport.send("x"), await transport.close()]


async def kinds(client, service):
    groups = {
        client: ["close", "track", "any_late", "by_weight", "late", "cost", "__aenter__", "__aexit__"],
        client.session: ["request", "token", "close"],
        client.shipments: ["get", "create", "cancel", "count"],
        client.labels: ["text"],
        client.rates: ["all", "cheapest", "carrier"],
    }
    coroutines = [
        [type(owner).__name__, name, inspect.iscoroutinefunction(getattr(owner, name))] for owner, names in groups.items() for name in names
    ]
    generators = [inspect.isasyncgenfunction(function) for function in (client.shipments.list, client.labels.download, cli.report)]
    left = [hasattr(owner, name) for owner in (client, client.shipments) for name in ("__enter__", "__exit__", "__iter__")]
    return [coroutines, generators, left, inspect.iscoroutinefunction(cli.main)]


async def play(scenario):
    service, events = Service(), []
    pauses.clear()
    client = parcels.Client(service, "key", on_event=lambda name, details: events.append([name, details]))
    result = await scenario(client, service)
    return [result, service.sent, events, service.most_waiting]


def command_line():
    said = []
    for arguments, answers in ((["late"], []), (["cost", "s1", "s2"], []), (["cost", "s99"], []), (["x"], []), (["late"], [403])):
        service, out, err = Service(), io.StringIO(), io.StringIO()
        service.answers = answers
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            status = cli.main(arguments, service)
        said.append([status, out.getvalue(), err.getvalue(), service.sent, service.closed])
    return said


SCENARIOS = [one, pages, changes, retries, expired, together, refused, carriers, rates, many, late, downloads, contexts, thread, kinds]
said = {}
for scenario in SCENARIOS:
    try:
        said[scenario.__name__] = asyncio.run(play(scenario))
    except BaseException as error:
        said[scenario.__name__] = f"{type(error).__name__}: {error}"
try:
    said["command_line"] = command_line()
except BaseException as error:
    said["command_line"] = f"{type(error).__name__}: {error}"
print(json.dumps(said, default=repr))
