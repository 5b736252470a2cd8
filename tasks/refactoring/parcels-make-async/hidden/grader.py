"""Check that a client became asynchronous, by scenarios over a transport that records what is sent, and that the rest is as it was."""

import ast
import json
from pathlib import Path

from workbench_grading.code import Package, ask, import_all, read_package, verdict

PACKAGE = "parcels"
LAYERS = ["transport", "session", "resources", "client", "cli"]
FREE = [f"{PACKAGE}.{layer}.*" for layer in LAYERS]
# what of these layers has nothing to do with input and output
FIXED = [
    *("transport.Request", "transport.Response", "transport.UrllibTransport", "transport.UrllibTransport.__init__"),
    *("transport.UrllibTransport._send", "session.ATTEMPTS", "session.FIRST_PAUSE"),
]
ASYNC = [
    *("transport.UrllibTransport.send", "transport.UrllibTransport.close", "session.Session.request", "session.Session.token"),
    *(
        "session.Session.close",
        "resources.Shipments.get",
        "resources.Shipments.list",
        "resources.Shipments.create",
        "resources.Shipments.cancel",
    ),
    *("resources.Shipments.count", "resources.Labels.download", "resources.Labels.text", "resources.Rates.all", "resources.Rates.cheapest"),
    *("resources.Rates.carrier", "client.Client.close", "client.Client.track", "client.Client.any_late", "client.Client.by_weight"),
    *("client.Client.late", "client.Client.cost", "cli.report"),
]
BLOCKING = ["time.sleep", "threading", "concurrent", "asyncio.new_event_loop", "asyncio.Runner", ".run_until_complete", ".run_in_executor"]
ONLY_IN = {"asyncio.run": f"{PACKAGE}.cli.", "asyncio.to_thread": f"{PACKAGE}.transport."}
SAME_SIGNATURE = [*ASYNC, "cli.main", "session.Session.__init__", "client.Client.__init__"]


def fixed(package: Package) -> dict[str, str | None]:
    """Return what must not change in the layers that do: fingerprints and signatures."""
    prints = package.fingerprints
    found = {name: prints.get(f"{PACKAGE}.{name}") for name in FIXED}
    return found | {f"parameters of {name}": package.signature(f"{PACKAGE}.{name}") for name in SAME_SIGNATURE}


def is_async(package: Package, name: str) -> bool:
    unit = package.units.get(f"{PACKAGE}.{name}")
    return unit is not None and len(unit.nodes) == 1 and isinstance(unit.nodes[0], ast.AsyncFunctionDef)


def grade(submission: Path, hidden: Path) -> dict:
    expected = json.loads((hidden / "expected.json").read_text(encoding="utf-8"))
    package = read_package(submission / PACKAGE)
    said = ask((hidden / "scenarios.py").read_text(encoding="utf-8"), submission)
    played = {name: isinstance(said, dict) and said.get(name) == wanted for name, wanted in expected["scenarios"].items()}
    blocking = [f"{user} uses {name}" for name in BLOCKING for user in package.users(name)]
    blocking += [f"{user} uses {name}" for name, home in ONLY_IN.items() for user in package.users(name) if not user.startswith(home)]
    # none of these holds on the untouched package
    checks = {
        **{f"{name} is asynchronous": is_async(package, name) for name in ASYNC},
        "nothing blocks": not blocking and not package.broken,
        **{f"scenario {name}": done for name, done in played.items()},
    }
    changes = package.changes(expected["fingerprints"], FREE)
    now = fixed(package)
    changes.changed += [name for name, value in expected["fixed"].items() if now.get(name) != value]
    imports = import_all(PACKAGE, submission) == expected["modules"]
    return verdict(package, checks, changes, imports=imports, behaviour=all(played.values()), blocking=blocking[:20])
