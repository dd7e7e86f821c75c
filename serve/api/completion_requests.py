"""The body of /v1/completions: prompts as texts or as tokens, and the calls they mean.

In: a body in OpenAI's shape with vLLM's additions. Out: one call for each prompt. Nothing here knows how an answer
looks.
"""

from typing import Annotated, Any, Self

from pydantic import Field, PlainValidator, WithJsonSchema, model_validator

from plait.engines.engine import MAX_LOGPROBS
from plait.model_ids import ModelId
from plait.serve.api.engine_fields import MAX_COUNT
from plait.serve.api.generation_requests import MAX_CHOICES, GenerationBody, ResponseFormat
from plait.serve.api.ignored_fields import NeutralInCompletions
from plait.serve.api.request_body import does_not_fit
from plait.serve.messages.calls import Call

_TOKENS: dict[str, Any] = {
    "type": "array",
    "items": {"type": "integer", "minimum": 0, "maximum": MAX_COUNT},
    "minItems": 1,
}
_MANY: dict[str, Any] = {"type": "array", "minItems": 1, "maxItems": MAX_CHOICES}
_PROMPT: dict[str, Any] = {
    "anyOf": [{"type": "string"}, _TOKENS, _MANY | {"items": {"type": "string"}}, _MANY | {"items": _TOKENS}]
}


def _are_tokens(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(type(t) is int and 0 <= t <= MAX_COUNT for t in value)


def _read_prompts(given: Any) -> list[str | tuple[int, ...]]:
    """The prompts of a request, whichever of the four shapes they have."""
    prompts = [given] if isinstance(given, str) or _are_tokens(given) else given
    if not isinstance(prompts, list):
        raise ValueError("a text, token ids, or a list of either is required")
    if not prompts:
        raise ValueError("at least 1 item is required")
    is_text = isinstance(prompts[0], str)
    if not all(isinstance(p, str) if is_text else _are_tokens(p) for p in prompts):
        raise ValueError("a text, token ids (from 0), or a list of either is required, and none may be without tokens")
    if len(prompts) > MAX_CHOICES:
        raise ValueError(f"{len(prompts)} prompts are given, at most {MAX_CHOICES} are taken")
    return [p if is_text else tuple(p) for p in prompts]


Prompts = Annotated[list[str | tuple[int, ...]], PlainValidator(_read_prompts), WithJsonSchema(_PROMPT)]


class CompletionRequest(GenerationBody, NeutralInCompletions):
    prompt: Prompts = Field(
        description="One text, or several: their choices come one prompt after the other. Or their token ids."
    )
    max_tokens: int | None = Field(None, ge=0, le=MAX_COUNT, description="0, with echo, only reads the prompt.")
    echo: bool = Field(False, description="The answer begins with the prompt, and so do its log-probabilities.")
    logprobs: int | None = Field(None, ge=0, le=MAX_LOGPROBS)
    response_format: ResponseFormat | None = None

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.max_tokens == 0 and not self.echo and self.prompt_logprobs is None:
            raise does_not_fit("max_tokens", "max_tokens: 0 makes no text; it needs echo: true or prompt_logprobs")
        if self.response_format and self.response_format.schema_text and self.structure:
            raise does_not_fit("response_format", f"response_format and {self.structure_names[0]} exclude each other")
        return self

    def calls(self, default_max_tokens: int) -> list[Call]:
        """One call a prompt."""
        model = ModelId.requested(self.model)
        sampling = self._sampling(
            default_max_tokens if self.max_tokens is None else self.max_tokens,
            self.logprobs,
            self.response_format.schema_text if self.response_format else None,
            prompt_logprobs=max(
                (n for n in (self.prompt_logprobs, self.logprobs if self.echo else None) if n is not None), default=None
            ),
        )
        return [
            Call(
                model,
                sampling,
                prompt=prompt,
                truncate_prompt_tokens=self.truncate_prompt_tokens,
                is_echoed=self.echo,
            )
            for prompt in self.prompt
        ]
