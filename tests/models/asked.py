"""A model of the scripted server, and what came of asking it."""

from __future__ import annotations

from typing import Any

import pytest

from tests.loopback import Loopback
from workbench.messages import Message, Tool
from workbench.models.base import ModelError
from workbench.models.litellm import LiteLLMModel

HELLO = [Message(role="user", text="hello")]


class Asked:
    """A model of the scripted server, and the waits between its attempts, which no test waits for."""

    def __init__(self, server: Loopback, name: str = "openai/scripted", **options: Any) -> None:
        self.waits: list[float] = []
        self.shown: list[str] = []
        self.model = LiteLLMModel(name, **{"base_url": server.base_url, "sleep": self._sleep, **options})

    async def _sleep(self, seconds: float) -> None:
        self.waits.append(seconds)

    async def reply(self, messages: list[Message] = HELLO, *, stream: bool = False, tools: list[Tool] | None = None) -> Any:
        return await self.model.reply(messages, tools=tools or [], on_text=self.shown.append if stream else None)

    async def error(self, *, stream: bool = False) -> ModelError:
        with pytest.raises(ModelError) as caught:
            await self.reply(stream=stream)
        return caught.value
