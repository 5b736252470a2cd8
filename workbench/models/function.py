"""A Python function as a model: for tests, teaching, scripted agents and models of your own."""

from __future__ import annotations

import difflib
import importlib
import inspect
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeAlias

from workbench import blocking
from workbench.cancellation import Cancellation, is_interrupt
from workbench.errors import UsageError, described
from workbench.messages import Message, Reply, Tool
from workbench.models.base import ModelError

Answer: TypeAlias = str | Reply
Function: TypeAlias = Callable[[list[Message]], Answer | Awaitable[Answer]]
"""Takes the conversation and returns the reply, or only its text."""


class FunctionModel:
    """A model that asks a function.

    Parameters
    ----------
    function : callable
        Takes a list of messages and returns text or a :class:`Reply`. It may be async. If it is not, it runs in a
        thread, which is abandoned when its answer is no longer awaited.
    name : str, optional
        How the record names it; ``function:module:name`` by default.
    sees_images : bool
        Whether the messages should carry figures as pictures.

    Examples
    --------
    >>> import asyncio
    >>> model = FunctionModel(lambda messages: messages[-1].text.upper(), name="shouter")
    >>> asyncio.run(model.reply([Message(role="user", text="hello")])).text
    'HELLO'
    """

    def __init__(self, function: Function, name: str | None = None, *, sees_images: bool = False) -> None:
        if not callable(function):
            raise UsageError(f"a FunctionModel needs a function, not {type(function).__name__} {function!r}")
        self.function = function
        self.name = name or f"function:{_name(function)}"
        self.sees_images = sees_images

    async def reply(
        self,
        messages: Sequence[Message],
        *,
        tools: Sequence[Tool] = (),  # noqa: ARG002 - the protocol's; a function that calls tools knows them itself
        on_text: Callable[[str], None] | None = None,
    ) -> Reply:
        """Return what the function answers; raise :class:`ModelError` when it raises or answers something else."""
        answer = await self._ask(list(messages))
        if isinstance(answer, str):
            answer = Reply(text=answer)
        if not isinstance(answer, Reply):
            hint = "is a return statement missing?" if answer is None else ""
            raise ModelError(f"{self._who} returned {_kind(answer)} where text or a Reply is expected", hint=hint)
        if on_text is not None and answer.text:
            on_text(answer.text)
        return answer

    async def _ask(self, messages: list[Message]) -> object:
        cancelled = Cancellation()
        try:
            if inspect.iscoroutinefunction(self.function):
                return await self.function(messages)
            answer, error = await blocking.call(_outcome, self.function, messages)
            if error is not None:
                raise error
            return await answer if inspect.isawaitable(answer) else answer
        except ModelError:
            raise
        except BaseException as error:
            if cancelled.is_cause_of(error):
                raise
            raise ModelError(f"{self._who} raised {described(error)}") from error

    @property
    def _who(self) -> str:
        return f"the function {_name(self.function)} of model {self.name!r}"


def load_function(spec: str) -> Function:
    """Return the function that ``module:attribute``, or ``function:module:attribute``, names.

    Examples
    --------
    >>> load_function("function:json:dumps").__name__
    'dumps'
    >>> load_function("json:dump_all")
    Traceback (most recent call last):
    ...
    workbench.errors.UsageError: the module 'json' has no 'dump_all' (did you mean 'dump'?)
    """
    path = spec.removeprefix("function:")
    module_name, colon, attribute = path.partition(":")
    if not (colon and module_name and attribute):
        raise UsageError(f"{spec!r} names no function", hint="write function:module:attribute, for example function:my_models:answer")
    try:
        found: object = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is not None and f"{module_name}.".startswith(f"{error.name}."):
            hint = "it must be importable from here: install it, or put its folder on PYTHONPATH"
            raise UsageError(f"there is no module {error.name!r} for {spec!r}", hint=hint) from None
        raise UsageError(f"importing {module_name!r} for {spec!r} raised {described(error)}") from error
    except BaseException as error:
        # SystemExit too: some scripts exit when they are imported
        if is_interrupt(error):
            raise
        raise UsageError(f"importing {module_name!r} for {spec!r} raised {described(error)}") from error
    where = f"the module {module_name!r}"
    for part in attribute.split("."):
        if not hasattr(found, part):
            close = difflib.get_close_matches(part, dir(found), 1)
            raise UsageError(f"{where} has no {part!r}", hint=f"did you mean {close[0]!r}?" if close else "")
        found = getattr(found, part)
        where = f"{part!r} of {where}"
    if not callable(found):
        raise UsageError(f"{where} is no function but {_kind(found)}")
    return found


def _outcome(function: Function, messages: list[Message]) -> tuple[object, BaseException | None]:
    """Call the function and return an exception as a value, because no coroutine can raise a StopIteration."""
    try:
        return function(messages), None
    except BaseException as error:
        return None, error


def _name(function: object) -> str:
    named = function if hasattr(function, "__qualname__") else type(function)
    return f"{getattr(named, '__module__', '?')}:{getattr(named, '__qualname__', '?')}"


def _kind(value: object) -> str:
    if value is None:
        return "nothing (None)"
    try:
        return f"{type(value).__name__} {value!r:.80}"
    except BaseException:
        return type(value).__name__
