"""Names of models: what litellm could not place is refused without importing it."""

from __future__ import annotations

import subprocess
import sys

import pytest

from workbench.errors import UsageError
from workbench.models import names


@pytest.mark.parametrize(
    "name",
    [
        *("gpt-4o", "claude-sonnet-4-5", "command-r", "o3-mini", "ft:gpt-4o:mine::1", "claude-opus-99", "gpt-99"),
        *("openai/anything", "ollama_chat/llama3", "hosted_vllm/NAME", "custom_openai/x", "litellm_proxy/x", "lm_studio/x"),
        *("openrouter/meta-llama/llama-3-8b", "azure/deployment", "bedrock/anthropic.claude-v2"),
    ],
)
def test_that_litellm_knows_are_accepted(name: str) -> None:
    names.check(name)


@pytest.mark.parametrize(
    ("name", "says", "hint"),
    [
        ("nosuch", "no model is called 'nosuch'", "PROVIDER/NAME"),
        ("", "is empty", "PROVIDER/NAME"),
        ("  ", "is empty", "oracle"),
        ("orcale", "no model is called", "did you mean oracle?"),
        ("gpt4o", "no model is called", "did you mean gpt-4o?"),
        ("opnai/gpt-4o", "no provider is called 'opnai'", "did you mean openai/gpt-4o?"),
        ("zzz/model", "no provider is called 'zzz'", "openai/zzz/model and --base-url"),
        ("openai/", "a provider and no model", "openai/NAME"),
        ("ollama_chat", "a provider and no model", "ollama_chat/NAME"),
        ("oracle:twice", "no model is called", "oracle"),
    ],
)
def test_that_nobody_knows_are_refused_with_what_to_write(name: str, says: str, hint: str) -> None:
    with pytest.raises(UsageError, match=says) as caught:
        names.check(name)
    assert hint in caught.value.hint


def test_are_looked_up_without_importing_litellm() -> None:
    program = "import sys\nfrom workbench.models import names\nnames.check('openai/x')\nassert 'litellm' not in sys.modules"
    subprocess.run([sys.executable, "-c", program], check=True)


def test_are_not_judged_where_a_proxy_has_names_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("USE_LITELLM_PROXY", "True")
    names.check("nosuch")


def test_are_not_judged_where_litellms_tables_are_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(names, "_known", lambda: (frozenset(), frozenset()))
    names.check("nosuch")
