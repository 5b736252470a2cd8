"""The protocol every model speaks: a list of messages in, one reply out."""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol, runtime_checkable

from workbench.cancellation import Cancellation
from workbench.errors import WorkbenchError, classify
from workbench.messages import Attempt, Message, Reply, Tool, ToolCall


class ModelError(WorkbenchError):
    """The model could not be reached, refused, or broke its protocol.

    Parameters
    ----------
    attempts : sequence of Attempt
        Every request that was tried, in order.
    """

    kind = "model"

    def __init__(self, message: str, *, hint: str = "", attempts: Sequence[Attempt] = ()) -> None:
        super().__init__(message, hint=hint)
        self.attempts = [Attempt.model_validate(attempt) for attempt in attempts]


class ContextFullError(ModelError):
    """The conversation no longer fits the model's context window: a limit of the run, as its steps are."""


@runtime_checkable
class Model(Protocol):
    """Anything that answers messages.

    ``reply`` raises :class:`ModelError` when no reply could be had, and :class:`ContextFullError` when the conversation
    does not fit. A model may also have a method ``async def ready()``, which is awaited before the clock of a run
    starts: for what it must load first.
    """

    name: str
    """How the record names it, for example ``openai/gpt-4o`` or ``oracle``."""
    sees_images: bool
    """Whether figures are passed on as pictures, or only described."""

    async def reply(
        self, messages: Sequence[Message], *, tools: Sequence[Tool] = (), on_text: Callable[[str], None] | None = None
    ) -> Reply:
        """Return the model's reply; with ``on_text``, stream the text to it as it arrives."""
        ...


async def ready(model: Model) -> None:
    """Have the model load what it needs before it is asked; most need nothing.

    Raises
    ------
    ModelError
        If it cannot be made ready.
    """
    cancelled = Cancellation()
    try:
        # a model of the user's may call anything else "ready"
        if inspect.iscoroutinefunction(prepare := getattr(model, "ready", None)):
            await prepare()
    except ModelError:
        raise
    except BaseException as error:
        if cancelled.is_cause_of(error):
            raise
        raise ModelError(f"the model {model.name} cannot be made ready: {classify(error).message}") from error


async def ask(
    model: Model, messages: Sequence[Message], *, tools: Sequence[Tool] = (), on_text: Callable[[str], None] | None = None
) -> Reply:
    """Return the reply of any ``model``; each of its tool calls has an id of its own.

    Raises
    ------
    ModelError
        For anything that the model raised, except the caller's own cancellation; or if it did not return a reply.
    """
    cancelled = Cancellation()
    try:
        reply = await model.reply(messages, tools=tools, on_text=on_text)
        if not isinstance(reply, Reply):
            raise ModelError(f"the model {model.name} returned {type(reply).__name__} where a Reply is expected")
        # a Reply can be constructed without validation
        reply = Reply.model_validate(dict(reply))
        return reply.model_copy(update={"tool_calls": with_ids(reply.tool_calls)})
    except ModelError:
        raise
    except BaseException as error:
        if cancelled.is_cause_of(error):
            raise
        raise ModelError(f"the model {model.name} raised {classify(error).message}") from error


def call_ids() -> Iterator[str]:
    """Yield ids of tool calls in our own form, which Mistral accepts too: nine letters and digits.

    Examples
    --------
    >>> next(call_ids())
    'call00001'
    """
    return (f"call{number:05d}" for number in itertools.count(1))


def with_ids(calls: Sequence[ToolCall]) -> list[ToolCall]:
    """Return tool calls with an id each: one that is empty, or that an earlier call has, is replaced by one of ours.

    Examples
    --------
    >>> [call.id for call in with_ids([ToolCall(id=given, name="f", arguments="{}") for given in ("a", "", "a")])]
    ['a', 'call00001', 'call00002']
    """
    given = {call.id for call in calls}
    ours = (new for new in call_ids() if new not in given)
    used = {""}
    found = []
    for call in calls:
        kept = call if call.id not in used else call.model_copy(update={"id": next(ours)})
        used.add(kept.id)
        found.append(kept)
    return found
