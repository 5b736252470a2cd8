"""From what the user wrote after ``--model`` to a model."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from workbench.errors import UsageError
from workbench.models.base import Model
from workbench.models.options import ModelOptions


def resolve(
    given: str | Model | Callable[..., Any] | None,
    *,
    solution: Callable[[], tuple[list[str], str | None]],
    submission_path: str | None,
    recipe: Callable[[], Model],
    base_url: str | None = None,
    options: Mapping[str, Any] | None = None,
    record: Path | None = None,
) -> Model:
    """Return the model for ``given``.

    Parameters
    ----------
    given : str, Model, callable or None
        ``oracle``, ``nop``, ``baseline``, ``cheat``, ``cassette:FILE``, ``function:MODULE:NAME`` or any litellm model string; None
        takes ``WORKBENCH_MODEL``.
    solution : callable
        Returns the task's reference solution: its cells and its answer.
    submission_path : str or None
        Where the task expects its submission.
    recipe : callable
        Returns the model that plays the task's recipe.
    base_url : str, optional
        Of an OpenAI-compatible server; by default ``WORKBENCH_BASE_URL``.
    options : mapping, optional
        Of a model behind an API; no other has any.
    record : Path, optional
        Record the model's traffic in this cassette.

    Raises
    ------
    UsageError
        If no model is configured, or the name or an option is invalid.
    """
    model = _resolve(given, solution, submission_path, recipe, base_url, options)
    if record is None:
        return model
    from workbench.models.cassette import Recorder

    return Recorder(model, record)


def resolve_judge(given: str | Model | Callable[..., Any] | None) -> Callable[[], Model] | None:
    """Return a function that makes the judge for one grading; None if there is no judge.

    Parameters
    ----------
    given : str, Model, callable or None
        ``cassette:FILE``, ``function:MODULE:NAME`` or any litellm model string, served at ``WORKBENCH_JUDGE_BASE_URL`` where that
        is set; None takes ``WORKBENCH_JUDGE``, and an empty text is no judge. A cassette is played from its beginning each time.

    Raises
    ------
    UsageError
        If the name is invalid.
    """
    given = given if given is not None else os.environ.get("WORKBENCH_JUDGE")
    if given is None or given == "":
        return None
    if isinstance(given, str) and given.partition(":")[0] in ("oracle", "nop", "baseline", "cheat"):
        raise UsageError(f"{given!r} cannot judge: it plays at tasks", hint="name a model, cassette:FILE or function:MODULE:NAME")

    def make() -> Model:
        return _named(given, os.environ.get("WORKBENCH_JUDGE_BASE_URL") or None)

    make()
    return make


def _resolve(
    given: str | Model | Callable[..., Any] | None,
    solution: Callable[[], tuple[list[str], str | None]],
    submission_path: str | None,
    recipe: Callable[[], Model],
    base_url: str | None,
    options: Mapping[str, Any] | None,
) -> Model:
    given = given if given is not None else os.environ.get("WORKBENCH_MODEL") or None
    if given is None:
        raise UsageError(
            "no model is set",
            hint="pass --model PROVIDER/NAME (for example openai/gpt-4o with OPENAI_API_KEY, or ollama_chat/llama3 with a local server), "
            "or set WORKBENCH_MODEL; --model oracle needs no model at all",
        )
    ModelOptions.parse(options or {})  # so that a wrong name is told whatever the model is
    if isinstance(given, str):
        from workbench.models import scripted

        kind, _, rest = given.partition(":")
        if options and kind in ("oracle", "nop", "baseline", "cheat"):
            raise _no_options(given)
        match kind:
            case "oracle" if not rest:
                return scripted.oracle(*solution())
            case "nop" if not rest:
                return scripted.nop()
            case "baseline" if not rest:
                return recipe()
            case "cheat":
                return scripted.cheat(rest, submission_path)
    return _named(given, base_url or os.environ.get("WORKBENCH_BASE_URL") or None, options)


def _named(given: str | Model | Callable[..., Any], base_url: str | None, options: Mapping[str, Any] | None = None) -> Model:
    """Return a model that is not played from a task."""
    kind, _, rest = given.partition(":") if isinstance(given, str) else ("", "", "")
    if options and (not isinstance(given, str) or kind in ("cassette", "function")):
        raise _no_options(given)
    if isinstance(given, str):
        if kind == "cassette":
            from workbench.models.cassette import Cassette

            return Cassette(Path(rest).expanduser())
        if kind == "function":
            from workbench.models.function import FunctionModel, load_function

            return FunctionModel(load_function(rest), given)
        from workbench.models import names
        from workbench.models.litellm import LiteLLMModel

        names.check(given)
        return LiteLLMModel(given, base_url=base_url, **(options or {}))
    if isinstance(given, Model):
        if not isinstance(given.name, str):
            raise UsageError(f"the name of a model is text, and not {type(given.name).__name__}")
        return given
    if callable(given):
        from workbench.models.function import FunctionModel

        return FunctionModel(given)
    raise UsageError(f"{given!r} is not a model", hint="pass a name, a function, or an object with name, sees_images and reply()")


def _no_options(given: str | Model | Callable[..., Any]) -> UsageError:
    name = given if isinstance(given, str) else getattr(given, "name", None) or getattr(given, "__name__", type(given).__name__)
    hint = "they are for models behind an API, PROVIDER/NAME" if isinstance(given, str) else "set them where the model is made"
    return UsageError(f"the model {name} takes no model options", hint=hint)
