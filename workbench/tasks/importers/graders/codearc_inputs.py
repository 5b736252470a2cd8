"""Inputs that tell functions apart: the published ones, varied.

Upstream makes its inputs anew for each submission, by a search against the clock (Pynguin) and by asking GPT-4o-mini (Mokav).
Neither gives the same twice, and neither is kept. These are the same at every grading: they come from the inputs upstream
has published, by small changes, and by taking arguments from several of them.
"""

import ast
import math
import pprint
import random
import sys
from collections.abc import Callable
from dataclasses import dataclass, field

_WANTED = 100
_TRIES = 20
"""As many for each that is wanted: some come twice."""


@dataclass(frozen=True)
class Call:
    """A function's name and its arguments.

    Attributes
    ----------
    text : str
        All of it; equal calls have equal texts.
    name : str
        The function.
    values : dict
        The arguments by position or name.
    """

    text: str
    name: str = field(compare=False)
    values: "dict[int | str, object]" = field(compare=False)

    @classmethod
    def parse(cls, text: str, name: str) -> "Call":
        """Read a call of ``name`` with literal arguments.

        Raises
        ------
        ValueError
            If it is none.
        """
        try:
            node = ast.parse(str(text).strip(), mode="eval").body
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name) or node.func.id != name:
                raise ValueError
            arguments = [*enumerate(node.args), *((keyword.arg, keyword.value) for keyword in node.keywords)]
            values = {at: ast.literal_eval(value) for at, value in arguments}
            if None in values:
                raise ValueError
        except (SyntaxError, ValueError, TypeError, MemoryError, RecursionError):
            raise ValueError(f"write a call of {name} with literal arguments, for example {name}(1, 'a', [2.5])") from None
        return cls.of(name, values)

    @classmethod
    def of(cls, name: str, values: "dict[int | str, object]") -> "Call":
        """Return the call with these arguments."""
        parts = [_written(value) if isinstance(at, int) else f"{at}={_written(value)}" for at, value in values.items()]
        return cls(f"{name}({', '.join(parts)})", name, values)

    @property
    def args(self) -> list:
        """The arguments by position."""
        return [value for at, value in self.values.items() if isinstance(at, int)]

    @property
    def kwargs(self) -> dict:
        """Those by name."""
        return {at: value for at, value in self.values.items() if not isinstance(at, int)}

    def __str__(self) -> str:
        return self.text


def _written(value: object) -> str:
    # unlike repr, it writes a set in the same order in every process
    return pprint.pformat(value, width=sys.maxsize, sort_dicts=False)


def varied(published: "list[Call]") -> "list[Call]":
    """Return calls like the published ones, none of them twice and none of those; always the same."""
    source = random.Random(286_101_733)
    known, found = {call.text for call in published}, []
    for _ in range(_WANTED * _TRIES if published else 0):
        like = source.choice(published)
        # each argument from any of the calls; and most often one of them changed, since what is changed everywhere is seldom valid
        values = {at: source.choice([call.values[at] for call in published if at in call.values]) for at in like.values}
        if values and source.random() < 0.8:
            at = source.choice(list(values))
            values[at] = changed(values[at], source, [call.values.get(at) for call in published])
        made = Call.of(like.name, values)
        if made.text not in known:
            known.add(made.text)
            found.append(made)
        if len(found) == _WANTED:
            break
    return found


def changed(value: object, source: random.Random, like: list) -> object:
    """Return a value of the same type, a small step away; what is new in it comes from ``like``, which are other such values."""
    for kind, change in _CHANGES.items():
        if isinstance(value, kind):
            return change(value, source, [other for other in like if isinstance(other, kind)])
    return value


def _number(value: "int | float", source: random.Random, like: list) -> "int | float":
    most = max(1, *(abs(other) for other in like)) if like else 1
    around = source.randint(-int(most), int(most)) if isinstance(value, int) else round(source.uniform(-most, most), 2)
    found = source.choice([value + 1, value - 1, value + value, -value, abs(around), abs(around), around, type(value)(0)])
    # infinity is no literal
    return value if found in (math.inf, -math.inf) else found


def _text(value: str, source: random.Random, like: "list[str]") -> str:
    letters = "".join(like) or " "
    at = source.randrange(len(value) + 1)
    return source.choice(
        [
            value[:at] + value[at + 1 :],
            value[:at] + source.choice(letters) + value[at:],
            value[:at] + source.choice(letters) + value[at + 1 :],
            value[:at] + source.choice(like or [""])[at:],
            "".join(source.sample(value, len(value))),
            "".join(source.choices(letters, k=source.randint(1, len(value) + 3))),
            value[::-1],
            value.swapcase(),
            value + value,
            "",
        ]
    )


def _sequence(value: "list | tuple", source: random.Random, like: list) -> "list | tuple":
    kind, items = type(value), list(value)
    at = source.randrange(len(items) + 1)
    pool = [item for other in like for item in other] or items
    deeper = [changed(item, source, pool) if place == at else item for place, item in enumerate(items)]
    choices = [deeper, deeper, deeper, source.sample(items, len(items)), items[::-1], items[:at] + items[at + 1 :], items + items, []]
    if pool:
        choices += [[*items[:at], source.choice(pool), *items[at:]], source.choices(pool, k=source.randint(1, len(items) + 2))]
    return kind(source.choice(choices))


def _set(value: "set | frozenset", source: random.Random, like: list) -> "set | frozenset":
    # in an order that is the same in every process
    return type(value)(_sequence(sorted(value, key=repr), source, [sorted(other, key=repr) for other in like]))


def _dict(value: dict, source: random.Random, like: "list[dict]") -> dict:
    items = dict(value)
    if not items:
        return dict(source.choice(like))
    key = source.choice(list(items))
    pool = [other for each in like for other in each.values()]
    match source.randrange(5):
        case 0:
            del items[key]
        case 1:
            items[changed(key, source, [other for each in like for other in each])] = items.pop(key)
        case 2:
            items = dict(source.sample(list(items.items()), len(items)))
        case _:
            items[key] = changed(items[key], source, pool)
    return items


_CHANGES: "dict[type | tuple[type, ...], Callable]" = {
    bool: lambda value, *_: not value,
    (int, float): _number,
    str: _text,
    (list, tuple): _sequence,
    (set, frozenset): _set,
    dict: _dict,
}
