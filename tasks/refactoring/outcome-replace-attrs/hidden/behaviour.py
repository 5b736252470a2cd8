"""Use the classes in many ways, and print what came of each: run beside the package, by the grader and by make_expected.py."""

import asyncio
import copy
import itertools
import json
import pickle
import weakref

import outcome
from outcome import Error, Outcome, Value

BASES = (AttributeError, TypeError, RuntimeError, ValueError, KeyError)


def tried(*calls):
    """Return what each call returns, or which built-in error it raises: the text of the errors may differ."""
    said = []
    for call in calls:
        try:
            said.append(repr(call()))
        except Exception as error:
            said.append(next((base.__name__ for base in BASES if isinstance(error, base)), type(error).__name__))
    return said


def fail(*args):
    raise KeyError(*args)


def generator():
    try:
        got = yield "first"
        yield ["got", got]
    except KeyError as error:
        yield ["caught", error.args[0]]


async def agenerator():
    try:
        got = yield "first"
        yield ["got", got]
    except KeyError as error:
        yield ["caught", error.args[0]]


def sent(result):
    running = generator()
    next(running)
    return result.send(running)


def asent(result):
    async def run():
        running = agenerator()
        await running.__anext__()
        return await result.asend(running)

    return asyncio.run(run())


def used(result):
    tried(result.unwrap)
    return result


def matched(result):
    match result:
        case Value(value):
            return ["value", value]
        case Error(error):
            return ["error", repr(error)]


class Plain(Outcome):
    def __init__(self):
        object.__setattr__(self, "_unwrapped", False)

    def unwrap(self):
        self._set_unwrapped()
        return "unwrapped"

    def send(self, gen):
        return None

    async def asend(self, agen):
        return None


class Half(Outcome):
    def unwrap(self):
        return None


problem, other = KeyError("k"), ValueError("v")
some = {"1": Value(1), "2": Value(2), "1.0": Value(1.0), "a": Value("a"), "list": Value([1]), "k": Error(problem), "v": Error(other)}
pairs = list(itertools.product(some.values(), repeat=2))


def changed(result, name):
    setattr(result, name, 5)


def deleted(result, name):
    delattr(result, name)


def construction():
    values = [lambda: Value(1), lambda: Value(value=1), Value, lambda: Value(1, True), lambda: Value(1, _unwrapped=True)]
    errors = [lambda: Error(problem), lambda: Error(error=other), Error, lambda: Error("k"), lambda: Error(KeyError), lambda: Error(None)]
    return tried(*values, *errors, lambda: Error(problem).error is problem, lambda: Value(1)._unwrapped, lambda: Error(GeneratorExit()))


def equality():
    mixed = [
        Value(1) == used(Value(1)),
        Error(problem) == used(Error(problem)),
        Value(1) == 1,
        Value(1) == (1,),
        Error(KeyError("k")) == Error(problem),
    ]
    return [[a == b, a != b] for a, b in pairs] + mixed


def order():
    calls = [
        call
        for a, b in pairs
        for call in (lambda a=a, b=b: a < b, lambda a=a, b=b: a <= b, lambda a=a, b=b: a > b, lambda a=a, b=b: a >= b)
    ]
    return [*tried(*calls), repr(sorted([Value(3), Value(1), Value(2)])), *tried(lambda: Value(1) < 2)]


def hashing():
    equal = [hash(a) == hash(b) for a, b in itertools.product([Value(1), used(Value(1)), Value(1.0)], repeat=2)]
    return [
        *equal,
        len({Value(1), Value(1), Value(2), Error(problem), Error(problem)}),
        *tried(lambda: hash(Value([])), lambda: {Value({})}),
    ]


def immutability():
    fields = [(Value(1), "value"), (Value(1), "_unwrapped"), (Error(problem), "error"), (Error(problem), "_unwrapped")]
    others = [(Value(1), "error"), (Value(1), "new"), (Error(problem), "value"), (Error(problem), "new")]
    own = tried(*(lambda r=r, n=n, do=do: do(r, n) for r, n in fields for do in (changed, deleted)))
    # a frozen dataclass with slots raises a TypeError for names that are no fields, which is as good
    strange = tried(*(lambda r=r, n=n, do=do: do(r, n) for r, n in others for do in (changed, deleted)))
    return [*own, *(said in ("AttributeError", "TypeError") for said in strange)]


def slots():
    results = (Value(1), Error(problem))
    dicts = [hasattr(result, "__dict__") for result in results]
    return [
        *dicts,
        *("__slots__" in vars(kind) for kind in (Outcome, Value, Error)),
        *(weakref.ref(result)() is result for result in results),
    ]


def copies():
    made = [Value([1]), used(Value([1])), Error(problem), used(Error(problem))]
    ways = [copy.copy, copy.deepcopy, *(lambda r, p=p: pickle.loads(pickle.dumps(r, p)) for p in range(2, 6))]
    return [[repr(way(result)), way(result)._unwrapped, type(way(result)) is type(result)] for result in made for way in ways]


def matching():
    return [
        *(matched(result) for result in some.values() if result != Error(other)),
        list(Value.__match_args__),
        list(Error.__match_args__),
    ]


def subclasses():
    plain = Plain()
    return [
        *tried(Outcome, Half, lambda: plain._unwrapped, plain.unwrap, plain.unwrap),
        *(issubclass(k, Outcome) for k in (Value, Error)),
    ]


def use():
    twice = [Value(1), Error(problem)]
    return tried(
        *(call for result in twice for call in (result.unwrap, result.unwrap, lambda result=result: sent(result))),
        lambda: sent(Value(2)), lambda: sent(Error(problem)), lambda: asent(Value(2)), lambda: asent(Error(problem)),
        lambda: outcome.capture(int, "7"), lambda: outcome.capture(fail, "x"), lambda: outcome.capture(fail, "x").unwrap(),
    )  # fmt: skip


def names():
    kinds = (Outcome, Value, Error)
    return [
        *(f"{kind.__module__}.{kind.__qualname__}" for kind in kinds),
        str(Value[int]),
        str(outcome.Maybe),
        sorted(outcome.__all__),
    ]


KINDS = [construction, equality, order, hashing, immutability, slots, copies, matching, subclasses, use, names]
said = {}
for kind in KINDS:
    try:
        said[kind.__name__] = kind()
    except Exception as error:
        said[kind.__name__] = f"{type(error).__name__}: {error}"
print(json.dumps(said))
