"""Check that a function got a new name, that its old one is a shim that warns whoever called it, and that the package has moved on."""

import json
from pathlib import Path

from workbench_grading.code import ask, import_all, read_package, verdict

PACKAGE = "itsdangerous"
HOME = "itsdangerous.encoding"  # the module that defines both
OLD, NEW = "want_bytes", "to_bytes"
PARAMETERS = "s, encoding='utf-8', errors='strict'"
MAY_CHANGE = ["*.<imports>", f"{HOME}.{OLD}", f"{HOME}.{NEW}"]

BEHAVIOUR = """
import hashlib, warnings
warnings.simplefilter("always")

def heard(call):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            result = call()
        except Exception as error:
            result = type(error).__name__
    return [result.hex() if isinstance(result, bytes) else result, caught]

def work():
    signer = itsdangerous.Signer("key", salt="salt", sep=":", digest_method=hashlib.sha256)
    rotated = itsdangerous.Signer(["old", b"key"], salt=b"salt", sep=b":", digest_method=hashlib.sha256)
    done = [signer.sign("välue").decode(), rotated.unsign(signer.sign("v")).decode(), signer.validate("v:x")]
    done.append(signer.get_signature("v").decode())
    for kind in (itsdangerous.Serializer, itsdangerous.URLSafeSerializer):
        serializer = kind("key", salt="s")
        text = serializer.dumps({"a": [1, "ü"] * 30})
        done += [serializer.loads(text), serializer.loads_unsafe(text[:-1]), serializer.loads(text.encode())]
        try:
            serializer.loads(text + "x")
        except itsdangerous.BadSignature as error:
            done.append(str(error).replace(text[-27:] + "x", ""))
    timed = itsdangerous.URLSafeTimedSerializer("key")
    done += [timed.loads(timed.dumps([1]), max_age=60), itsdangerous.TimestampSigner("key").validate("a.b.c")]
    unsign = itsdangerous.TimestampSigner("key").unsign
    try:
        unsign(itsdangerous.Signer("key", salt="itsdangerous.Signer").sign("plain"))
    except itsdangerous.BadSignature as error:
        done.append(type(error).__name__)
    return done + [itsdangerous.base64_encode("ä?>").decode(), itsdangerous.base64_decode("w6Q_Pgé").decode()]

with warnings.catch_warnings(record=True) as importing:
    warnings.simplefilter("always")
    itsdangerous = importlib.import_module("itsdangerous")
    encoding = importlib.import_module("itsdangerous.encoding")
    itsdangerous.want_bytes, encoding.want_bytes

said = {"importing": len(importing)}
result, caught = heard(work)
said["work"], said["at work"] = result, len(caught)
for name in ("want_bytes", given["name"]):
    for place, module in (("package", itsdangerous), ("module", encoding)):
        function = getattr(module, name)
        answers = []
        for call in (
            lambda: function("aä"), lambda: function(b"a\\xe4"), lambda: function("ä", "latin-1"),
            lambda: function("aä", "ascii", "ignore"),
            lambda: function(s="ä", errors="replace", encoding="ascii"), lambda: function("ä", encoding="ascii"), lambda: function(None),
        ):
            result, caught = heard(call)
            here = [each for each in caught if each.filename == call.__code__.co_filename and each.lineno == call.__code__.co_firstlineno]
            answers.append([result, len(caught), len(here), [[each.category.__name__, "to_bytes" in str(each.message)] for each in caught]])
        said[f"{name} of the {place}"] = answers
print(json.dumps(said))
"""


def behaviour(submission: Path, name: str = NEW) -> object:
    return ask(BEHAVIOUR, submission, {"name": name})


def grade(submission: Path, hidden: Path) -> dict:
    expected = json.loads((hidden / "expected.json").read_text(encoding="utf-8"))
    package = read_package(submission / PACKAGE)
    home, top = package.modules.get(HOME), package.modules.get(PACKAGE)
    leftovers = [name for name in package.users(f"{HOME}.{OLD}") if name != f"{PACKAGE}.<imports>"]
    checks = {
        f"{HOME}.{NEW} is a function": package.signature(f"{HOME}.{NEW}") == PARAMETERS,
        f"{HOME}.{OLD} forwards to it": package.signature(f"{HOME}.{OLD}") == PARAMETERS
        and f"{HOME}.{OLD}" in package.users(f"{HOME}.{NEW}"),
        f"{PACKAGE} exports both": top is not None and {OLD, NEW} <= top.bindings.keys(),
        f"nothing inside uses {OLD}": home is not None and not leftovers and not package.broken,
        **package.reached(expected["after"]),
    }
    changes = package.changes(expected["before"], [*expected["after"], *MAY_CHANGE])
    return verdict(
        package,
        checks,
        changes,
        imports=import_all(PACKAGE, submission) == expected["modules"],
        behaviour=behaviour(submission) == expected["behaviour"],
        leftovers=leftovers,
    )
