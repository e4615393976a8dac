"""The requests that are understood. What would change an answer and is not implemented is refused, never passed over."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

__all__ = ["ChatRequest", "CompletionRequest", "Request", "Steer"]

Stop = Annotated[str, Field(min_length=1, max_length=1000)]
Nothing = Annotated[float, Field(ge=0, le=0)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False, frozen=True)


class Steer(_Strict):
    """One vector for this request.

    `strength` is a fraction of the activation's norm, None for the default; `positions` None for those of the vector.
    """

    vector: str
    strength: float | None = Field(default=None, ge=-100, le=100)
    positions: Literal["all", "prompt", "last_prompt", "decode"] | None = None


class StreamOptions(_Strict):
    include_usage: bool = False
    include_obfuscation: Literal[False] = False


class Request(_Strict):
    """What chat and completion have in common; defaults are OpenAI's."""

    model: str
    max_tokens: int | None = Field(default=None, ge=1)
    temperature: float | None = Field(default=1.0, ge=0, le=2)
    top_p: float | None = Field(default=1.0, gt=0, le=1)
    n: int | None = Field(default=1, ge=1, le=16)
    seed: int | None = Field(default=None, ge=-(2**63), lt=2**63)
    stop: Stop | Annotated[list[Stop], Field(max_length=4)] | None = None
    stream: bool | None = False
    stream_options: StreamOptions | None = None
    steer: list[Steer] | None = Field(default=None, max_length=16)
    # Accepted where they change nothing.
    presence_penalty: Nothing | None = None
    frequency_penalty: Nothing | None = None
    logit_bias: Annotated[dict[str, float], Field(max_length=0)] | None = None
    user: str | None = None

    @property
    def stops(self) -> tuple[str, ...]:
        return (self.stop,) if isinstance(self.stop, str) else tuple(self.stop or ())

    @property
    def counts_usage(self) -> bool:
        return self.stream_options is not None and self.stream_options.include_usage

    @property
    def most(self) -> int | None:
        """How many tokens at most, None where the request does not say."""
        return self.max_tokens

    @property
    def tops(self) -> int | None:
        """How many of the most probable tokens are told beside each; None for no log probabilities."""
        raise NotImplementedError


class TextPart(_Strict):
    type: Literal["text"]
    text: str


class Message(_Strict):
    role: Literal["system", "developer", "user", "assistant"]
    content: str | list[TextPart]
    name: str | None = None

    @field_validator("content")
    @classmethod
    def _joined(cls, content: str | list[TextPart]) -> str:
        return content if isinstance(content, str) else "".join(part.text for part in content)

    def plain(self) -> dict[str, Any]:
        """For a chat template, which knows `developer` by its older name."""
        return {"role": "system" if self.role == "developer" else self.role, "content": self.content}


class ChatRequest(Request):
    messages: list[Message] = Field(min_length=1)
    max_completion_tokens: int | None = Field(default=None, ge=1)
    logprobs: bool | None = False
    top_logprobs: int | None = Field(default=None, ge=0, le=20)

    @property
    def most(self) -> int | None:
        return self.max_completion_tokens or self.max_tokens

    @property
    def tops(self) -> int | None:
        return (self.top_logprobs or 0) if self.logprobs else None


class CompletionRequest(Request):
    prompt: str | list[int] | Annotated[list[str], Field(min_length=1, max_length=64)]
    logprobs: int | None = Field(default=None, ge=0, le=5)
    echo: Literal[False] | None = None
    best_of: Literal[1] | None = None
    suffix: None = None

    @property
    def prompts(self) -> list[str] | list[list[int]]:
        """One or several texts, or the token ids of one."""
        if isinstance(self.prompt, str):
            return [self.prompt]
        ids = [part for part in self.prompt if isinstance(part, int)]
        return [ids] if ids or not self.prompt else [part for part in self.prompt if isinstance(part, str)]

    @property
    def most(self) -> int | None:
        return self.max_tokens or 16

    @property
    def tops(self) -> int | None:
        return self.logprobs
