"""What a model and an agent say to each other: messages, replies and what they cost."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

MOST_TOKENS = 2**40
"""The maximum number of tokens accepted for one call."""

AttemptStatus = Literal["ok", "rate_limited", "server_error", "timeout", "connection", "malformed", "cut_off", "refused"]


class Image(BaseModel):
    """A picture shown to a model."""

    media_type: str
    """For example ``image/png``."""
    data: str
    """The bytes in base64."""


class ToolCall(BaseModel):
    """A native tool call of a model."""

    id: str
    name: str
    arguments: str
    """As the model wrote them: JSON text, which may be malformed."""


class Message(BaseModel):
    """One turn of a conversation."""

    role: Literal["system", "user", "assistant", "tool"]
    text: str = ""
    images: list[Image] = Field(default_factory=list)
    tool_calls: list[ToolCall] = Field(default_factory=list)
    """What an assistant turn called."""
    tool_call_id: str | None = None
    """Which call a tool turn answers."""


class Tool(BaseModel):
    """A tool offered to a model: a name, a sentence and a JSON Schema of its arguments."""

    name: str
    description: str
    parameters: dict[str, Any]


class Usage(BaseModel):
    """Tokens of one call, as the provider counted them."""

    # a model of the user's can make one without validation, whose numbers would then fit into no column of the store
    model_config = ConfigDict(revalidate_instances="always")

    input_tokens: int = Field(default=0, ge=0, le=MOST_TOKENS)
    output_tokens: int = Field(default=0, ge=0, le=MOST_TOKENS)
    cached_tokens: int = Field(default=0, ge=0, le=MOST_TOKENS)
    """Those of the input tokens that came from the provider's cache."""

    @property
    def total(self) -> int:
        """Input and output tokens together."""
        return self.input_tokens + self.output_tokens


class Attempt(BaseModel):
    """One request on the wire; a reply may have taken several."""

    status: AttemptStatus
    seconds: float
    error: str = ""
    waited: float = 0.0
    """Seconds waited after this attempt before the next."""


class Reply(BaseModel):
    """What a model answered."""

    text: str = ""
    reasoning: str = ""
    """A separate reasoning channel, where the provider has one."""
    tool_calls: list[ToolCall] = Field(default_factory=list)
    finish_reason: str = "stop"
    """``stop``, ``length``, ``tool_calls`` or what else the provider says."""
    usage: Usage = Field(default_factory=Usage)
    cost_usd: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    """US dollars; None where no price is known."""
    attempts: list[Attempt] = Field(default_factory=list)
    """Every request made for this reply in order, the successful one last; empty for models without a wire."""
