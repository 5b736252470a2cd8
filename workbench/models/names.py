"""Which names of models litellm can place, by the tables that it ships: read, and not imported, which takes seconds."""

from __future__ import annotations

import difflib
import functools
import json
import os
import re
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from workbench.errors import UsageError

_PRICES = "model_prices_and_context_window_backup.json"
_PROVIDERS = ("provider_endpoints_support_backup.json", "llms/openai_like/providers.json")
_ENUMS = "types/utils.py"
_SCRIPTED = ("oracle", "nop", "baseline", "cheat", "cassette:FILE", "function:MODULE:NAME")
_WHAT = f"write PROVIDER/NAME, for example openai/gpt-4o or ollama_chat/llama3; or one of {', '.join(_SCRIPTED)}"


def check(name: str) -> None:
    """Refuse the name of a model that litellm would refuse, before anything is started.

    A name without a provider is accepted if its first word is that of one in litellm's tables, since litellm also
    places names that are newer than those.

    Raises
    ------
    UsageError
        If nothing says which provider the model belongs to.

    Examples
    --------
    >>> check("openai/any-name"), check("gpt-4o")
    (None, None)
    >>> check("ollama_chat")
    Traceback (most recent call last):
    ...
    workbench.errors.UsageError: 'ollama_chat' names a provider and no model (write ollama_chat/NAME)
    """
    if not name.strip():
        raise UsageError("the name of the model is empty", hint=_WHAT)
    providers, named = _known()
    first, slash, rest = name.partition("/")
    if os.environ.get("USE_LITELLM_PROXY") or not named:
        # a proxy has names of its own
        return
    if name in named | _of_the_user() or (rest and first in providers | _of_the_user()):
        return
    if first in providers:
        raise UsageError(f"{name!r} names a provider and no model", hint=f"write {first}/NAME")
    if slash:
        close = difflib.get_close_matches(first, providers, n=1)
        raise UsageError(
            f"no provider is called {first!r}, in the model's name {name!r}",
            hint=f"did you mean {close[0]}/{rest}?" if close else f"for your own server write openai/{name} and --base-url; else {_WHAT}",
        )
    bare = [each for each in named if "/" not in each]
    if _beginning(name) in map(_beginning, bare):
        return
    close = difflib.get_close_matches(name, [*(each for each in _SCRIPTED if ":" not in each), *bare], n=1)
    meant = f"did you mean {close[0]}? " if close else ""
    raise UsageError(f"no model is called {name!r}, and it does not say which provider has it", hint=meant + _WHAT)


def _beginning(name: str) -> str:
    """Return the first word of a name.

    Examples
    --------
    >>> _beginning("claude-sonnet-4-5"), _beginning("ft:gpt-4o")
    ('claude', 'ft')
    """
    return re.split(r"[-:.@/]", name, maxsplit=1)[0]


@functools.cache
def _known() -> tuple[frozenset[str], frozenset[str]]:
    """Return the providers, and the models in the table of prices; neither where litellm's files are not as expected."""
    found = find_spec("litellm")
    if found is None or not found.origin:
        return frozenset(), frozenset()
    root = Path(found.origin).parent
    prices = _read(root / _PRICES)
    providers = {name.partition("/")[0] for name in prices if "/" in name}
    for each in (_read(root / name) for name in _PROVIDERS):
        providers |= set(each.get("providers", each))
    try:
        providers |= set(re.findall(r'^    [A-Z0-9_]+ = "([^"\s]+)"$', (root / _ENUMS).read_text(encoding="utf-8"), re.MULTILINE))
    except (OSError, UnicodeDecodeError):
        return frozenset(), frozenset()
    return frozenset(providers), frozenset(name for name in prices if name != "sample_spec")


def _read(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _of_the_user() -> set[str]:
    """Return the names that a program of the user's has given to litellm, where it is imported."""
    litellm = sys.modules.get("litellm")
    aliases = getattr(litellm, "model_alias_map", None) or {}
    return {*aliases, *(each["provider"] for each in getattr(litellm, "custom_provider_map", None) or ())}
