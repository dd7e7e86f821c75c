"""vLLM's additions to OpenAI's requests that generate text, which the engines know by the same names.

In: fields of a body, checked one by one. Out: what `Sampling` takes. Knows neither chat nor completions.
"""

from typing import Annotated, Any

from pydantic import Field, field_validator

from plait.engines.engine import MAX_BAD_WORDS, MAX_LOGPROBS
from plait.serve.api.request_body import RequestBody

MAX_COUNT = 2**31 - 1  # engines count in 32 bits

TokenId = Annotated[int, Field(ge=0, le=MAX_COUNT)]
_Word = Annotated[str, Field(min_length=1)]
_KEEP: dict[str, Any] = {"anyOf": [{"const": -1}, {"type": "integer", "minimum": 1}]}
_SAMPLED = (
    *("min_tokens", "stop_token_ids", "bad_words", "allowed_token_ids"),
    *("include_stop_str_in_output", "skip_special_tokens"),
)


class EngineFields(RequestBody):
    """Of chat and completions."""

    min_tokens: int = Field(0, ge=0, le=MAX_COUNT, description="The answer does not end before so many tokens.")
    stop_token_ids: list[TokenId] = Field([], description="Tokens that end the answer, besides the model's own.")
    bad_words: list[_Word] = Field([], max_length=MAX_BAD_WORDS, description="Texts that the answer does not have.")
    allowed_token_ids: list[TokenId] = Field([], description="The only tokens that may come; none given: all.")
    include_stop_str_in_output: bool = Field(False, description="Keep the stop string that ends the text.")
    skip_special_tokens: bool = Field(True, description="Leave special tokens out of the text.")
    prompt_logprobs: int | None = Field(
        None,
        ge=0,
        le=MAX_LOGPROBS,
        description="Log-probabilities of the prompt, with so many others beside each token.",
    )
    truncate_prompt_tokens: int | None = Field(
        None,
        ge=-1,
        le=MAX_COUNT,
        json_schema_extra=_KEEP,
        description="Keep the last so many tokens of the prompt; -1: as many as fit beside max_tokens.",
    )
    return_tokens_as_token_ids: bool = Field(False, description="Log-probabilities name tokens as `token_id:7`.")

    @field_validator("truncate_prompt_tokens")
    @classmethod
    def _keeps_something(cls, tokens: int | None) -> int | None:
        if tokens == 0:
            raise ValueError("it keeps the last so many tokens, 1 at least; -1 keeps as many as fit")
        return tokens

    @property
    def engine_sampling(self) -> dict[str, Any]:
        """The fields of `Sampling` that are among these, `prompt_logprobs` left out."""
        given = {name: getattr(self, name) for name in _SAMPLED}
        return {name: tuple(value) if isinstance(value, list) else value for name, value in given.items()}
