"""The options of a model behind an API: how it is asked and how long it is waited for."""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, NoReturn

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from workbench.errors import UsageError

_OURS = ("model", "messages", "tools", "stream", "timeout", "num_retries", "max_retries")
"""Arguments of litellm that workbench sets itself in every request."""


def _no_bool(value: object) -> object:
    """Refuse True and False, which pydantic would take for 1 and 0."""
    if isinstance(value, bool):
        raise ValueError("it must be a number")
    return value


_Number = Annotated[float, BeforeValidator(_no_bool), Field(allow_inf_nan=False)]
_Whole = Annotated[int, BeforeValidator(_no_bool), Field(le=2**31 - 1)]


class ModelOptions(BaseModel):
    """How a model behind an API is asked.

    Examples
    --------
    >>> ModelOptions.parse({"temperature": 0, "extra.seed": 7})
    ModelOptions(temperature=0.0, max_tokens=None, timeout=600.0, idle_timeout=120.0, retries=5, stream=None, extra={'seed': 7})
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    temperature: Annotated[_Number, Field(ge=0)] | None = None
    max_tokens: Annotated[_Whole, Field(gt=0)] | None = None
    """Most tokens of one reply. Like the temperature, it is sent only if it is given."""
    timeout: Annotated[_Number, Field(gt=0)] = 600.0
    """Seconds to wait for the first byte of a streamed reply, or for the whole of one that is not streamed."""
    idle_timeout: Annotated[_Number, Field(gt=0)] = 120.0
    """Seconds to wait for each further byte of a streamed reply."""
    retries: Annotated[_Whole, Field(ge=0)] = 5
    """How often to ask again after a failed attempt."""
    stream: bool | None = None
    """Whether replies are streamed; by default only if somebody receives the text while it is written."""
    extra: dict[str, Any] = Field(default_factory=dict)
    """Further arguments of ``litellm.acompletion``."""

    @classmethod
    def parse(cls, given: Mapping[str, Any]) -> ModelOptions:
        """Return the options for names and values; a name may be ``extra.NAME``.

        Raises
        ------
        UsageError
            If a name is unknown or a value is invalid.

        Examples
        --------
        >>> ModelOptions.parse({"temprature": 0})
        Traceback (most recent call last):
        workbench.errors.UsageError: there is no model option 'temprature' (did you mean 'temperature'?)
        >>> ModelOptions.parse({"timeout": -1})
        Traceback (most recent call last):
        workbench.errors.UsageError: the model option timeout is -1: it must be greater than 0
        """
        if not isinstance(given, Mapping):
            raise UsageError(f"the model options are {given!r}, and must be names with values", hint="for example {'temperature': 0}")
        options: dict[str, Any] = {}
        extra: dict[str, Any] = {}
        for name, value in given.items():
            first, dot, rest = str(name).partition(".")
            if name == "extra" and isinstance(value, Mapping):
                extra |= value
            elif first == "extra" and dot:
                extra[rest] = value
            elif name in cls.model_fields:
                options[name] = value
            else:
                _refuse_name(str(name), [field for field in cls.model_fields if field != "extra"])
        for name in extra:
            _check_extra(str(name), cls.model_fields)
        try:
            return cls.model_validate({"extra": extra, **options})
        except ValidationError as error:
            fault = error.errors()[0]
            said = fault["msg"].removeprefix("Value error, ").removeprefix("it must be ").removeprefix("Input should be ")
            said = said.partition(", unable to")[0]
            raise UsageError(f"the model option {fault['loc'][0]} is {fault['input']!r}: it must be {said}") from None


def parse_pairs(pairs: Sequence[str]) -> dict[str, Any]:
    """Return what was written as ``NAME=VALUE``; the values of ``extra.NAME`` are read as JSON where they are JSON.

    Raises
    ------
    UsageError
        If one has no ``=``.

    Examples
    --------
    >>> parse_pairs(["temperature=0.2", "extra.seed=7", "extra.reasoning_effort=low"])
    {'temperature': '0.2', 'extra.seed': 7, 'extra.reasoning_effort': 'low'}
    """
    options: dict[str, Any] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        name = name.strip()
        if not equals:
            hint = "write --model-option NAME=VALUE, for example --model-option temperature=0"
            raise UsageError(f"--model-option {pair!r} has no '='", hint=hint)
        options[name] = _json(value) if name.startswith("extra.") else value.strip()
    return options


def _json(text: str) -> Any:
    def no_number(name: str) -> NoReturn:
        raise ValueError(name)  # Python's extensions of JSON, which no provider accepts

    try:
        return json.loads(text, parse_constant=no_number)
    except (ValueError, RecursionError):
        return text


def _refuse_name(name: str, known: Sequence[str]) -> NoReturn:
    close = difflib.get_close_matches(name, known, 1)
    hint = f"did you mean {close[0]!r}?" if close else f"there are: {', '.join(known)}, and extra.NAME for litellm's own arguments"
    raise UsageError(f"there is no model option {name!r}", hint=hint)


def _check_extra(name: str, known: Mapping[str, Any]) -> None:
    if not name.isidentifier():
        hint = 'arguments with a structure are written as JSON, for example extra.extra_body={"top_k": 20}'
        raise UsageError(f"the model option 'extra.{name}' names no argument of litellm's", hint=hint)
    if name in known or name in _OURS:
        hint = f"use the model option {name!r} instead" if name in known else "it is set by workbench"
        raise UsageError(f"the model option 'extra.{name}' cannot be given", hint=hint)
