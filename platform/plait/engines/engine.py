"""What an engine is: prompts in, text out as it comes, adapters by key.

Implementations decide how requests share the hardware. An engine knows no model names, no chat and no retrieval.
"""

import json
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

from plait.engines.constraint import Constraint
from plait.engines.prompts import PromptReader

FinishReason = Literal["stop", "length", "deadline"]

# Bounds of a request's numbers, both ends included. What they let in keeps logits finite: no request can make a step
# overflow, and the API refuses nothing else.
TEMPERATURES = (0.0, 2.0)
"""OpenAI's."""
REPETITION_PENALTIES = (0.01, 100.0)
"""Either end makes the penalised tokens all or nothing; a penalty of 1e-40 makes logits infinite."""
PENALTIES = (-2.0, 2.0)
"""Of presence and frequency; OpenAI's."""
LOGIT_BIASES = (-100.0, 100.0)
"""OpenAI's."""
MAX_LOGIT_BIASES = 300
"""OpenAI's."""
MAX_LOGPROBS = 20
"""OpenAI's, and what vLLM reports at most."""
MAX_BAD_WORDS = 256
"""Each is compared with the end of the answer at every token."""
SEEDS = (-(2**63), 2**63 - 1)
"""Integers of 64 bits: OpenAI's, and vLLM's."""


@dataclass(frozen=True)
class Sampling:
    """How the tokens of an answer are chosen, and where it ends. The defaults take the likeliest token each time.

    Attributes:
        max_tokens: length of the answer at most; 0 only reads the prompt.
        min_tokens: tokens before which the answer ends neither with an end token nor at a stop string. A constraint
            that lets nothing follow ends it all the same.
        temperature: in [0, 2]; 0 takes the likeliest token; 1 draws from the model's own distribution.
        top_p: in (0, 1]; keeps the likeliest tokens that make up this share (Holtzman et al. 2020, arXiv:1904.09751).
        top_k: keeps this many of the likeliest tokens; 0 keeps all.
        min_p: in [0, 1); keeps tokens at least this share as likely as the likeliest (Nguyen et al. 2024,
            arXiv:2407.01082).
        repetition_penalty: in [0.01, 100], 1 changes nothing; divides positive and multiplies negative logits of tokens
            that the prompt or the answer has (Keskar et al. 2019, CTRL, arXiv:1909.05858).
        presence_penalty, frequency_penalty: in [-2, 2]; subtracted from the logits of tokens that the answer has, once
            or as often as it has them (OpenAI's API reference).
        logit_bias: at most 300 (token, bias) pairs; the bias, in [-100, 100], is added to the token's logit.
        bad_words: texts that do not come: the last token of each is forbidden where the tokens before it have come.
        allowed_token_ids: the only tokens that may come; empty allows all.
        stop: strings at which the text ends, themselves left out.
        stop_token_ids: tokens that end the answer, besides the model's own.
        include_stop_str_in_output: keep the stop string, or the text of the end token, at the end of the text.
        skip_special_tokens: leave special tokens out of the text.
        seed: of 64 bits; makes sampling repeatable, whatever shares the batch.
        logprobs: how many, up to 20, of the likeliest tokens are reported beside each chosen one; None reports nothing.
        prompt_logprobs: the same for the tokens of the prompt, which is then computed whole, whatever is cached.
        json_schema: a JSON schema, as text, that the answer follows.
        regex: a regular expression that the whole answer matches.
        choice: the texts of which the answer is one.
        grammar: a context-free grammar, in Lark's or GBNF's notation, that the answer follows.
        ignore_eos: go on to `max_tokens`, whatever the model says; for measurements.
    """

    max_tokens: int
    temperature: float = 0.0
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    logit_bias: tuple[tuple[int, float], ...] = ()
    stop: tuple[str, ...] = ()
    seed: int | None = None
    logprobs: int | None = None
    json_schema: str | None = None
    ignore_eos: bool = False
    min_tokens: int = 0
    bad_words: tuple[str, ...] = ()
    allowed_token_ids: tuple[int, ...] = ()
    stop_token_ids: tuple[int, ...] = ()
    include_stop_str_in_output: bool = False
    skip_special_tokens: bool = True
    prompt_logprobs: int | None = None
    regex: str | None = None
    choice: tuple[str, ...] = ()
    grammar: str | None = None

    @property
    def constraint(self) -> Constraint | None:
        """What the answer must follow; at most one of the four fields is set."""
        if self.json_schema is not None:
            return Constraint("json_schema", self.json_schema)
        if self.regex is not None:
            return Constraint("regex", self.regex)
        if self.choice:
            return Constraint("choice", json.dumps(self.choice))
        return None if self.grammar is None else Constraint("grammar", self.grammar)


@dataclass(frozen=True)
class GenerationRequest:
    """One prompt and how to go on from it.

    `prompt` is a text, which begins as the model's texts begin, or tokens, which are taken as they are. Of more than
    `truncate_prompt_tokens` tokens the last ones are kept; -1 keeps as many as leave room for the answer. `is_echoed`:
    the first piece says the text of the prompt. `fits_answer`: where the context has no room for `max_tokens` beside
    the prompt, the answer may be as long as there is room; else such a request is refused.

    `adapter` is the key of a loaded adapter; None is the base model. After `deadline_s` seconds the answer ends with
    what there is, and the finish reason `deadline`. A piece comes every `stream_interval` tokens; the first token and
    the end come at once. What prompts have in common is computed once for requests with one `cache_salt`, and never
    shared with others: neither times nor counts tell what these asked.
    """

    prompt: str | tuple[int, ...]
    sampling: Sampling
    adapter: str | None = None
    deadline_s: float | None = None
    stream_interval: int = 1
    cache_salt: str = ""
    truncate_prompt_tokens: int | None = None
    is_echoed: bool = False
    fits_answer: bool = False


@dataclass(frozen=True)
class TokenLogprob:
    """A token and the logarithm of its probability, before temperature and filters.

    Attributes:
        utf8: the token's own bytes; a character may begin in one token and end in the next.
        logprob: None for the first token of a prompt, which follows nothing.
        top: the likeliest at its place.
        rank: its place among all tokens by likelihood, from 1; None where that was not asked for.
        is_text: whether its bytes stand in the text, from which special tokens may be left out.
    """

    token_id: int
    utf8: bytes
    logprob: float | None
    top: tuple["TokenLogprob", ...] = ()
    rank: int | None = None
    is_text: bool = True

    @property
    def token(self) -> str:
        """Its text, with U+FFFD for parts of characters."""
        return self.utf8.decode(errors="replace")


@dataclass(frozen=True)
class GenerationDelta:
    """The next piece of an answer. The last one has a `finish_reason`; counts are those of the whole answer so far.

    Attributes:
        cached_tokens: tokens of the prompt that were computed already, for another request.
        queue_s: seconds from the request's arrival to its first step.
        logprobs: of the tokens since the last piece, the one that ends the answer among them.
        prompt_logprobs: of all tokens of the prompt, where they are asked for; in the first piece.
        prompt_text: what the prompt says, where it is echoed; in the first piece.
        stop_string: at which the text ended, if it was one; in the last piece.
    """

    text: str
    prompt_tokens: int
    generated_tokens: int
    finish_reason: FinishReason | None = None
    cached_tokens: int = 0
    queue_s: float = 0.0
    logprobs: tuple[TokenLogprob, ...] = ()
    prompt_logprobs: tuple[TokenLogprob, ...] = ()
    prompt_text: str = ""
    stop_string: str = ""


@dataclass(frozen=True)
class LoadedAdapter:
    """An adapter in an engine's memory. `in_batch`: whether it is in the tables that steps compute with."""

    rank: int
    memory_bytes: int
    in_batch: bool
    requests: int
    """Requests that use it now, those that wait included."""


@dataclass(frozen=True)
class EngineLoad:
    """What an engine has to do now. `kv_use` in [0, 1]: share of the cache's blocks that running requests hold."""

    running: int
    waiting: int
    kv_use: float


class Engine(Protocol):
    """Generates text for many requests at once."""

    max_context_tokens: int
    """Prompt and answer together."""
    tokenizer: Any
    """The base model's transformers tokenizer."""
    prompts: PromptReader
    """Reads prompts; whoever makes long texts for this engine does it there, too."""

    def generate(self, request: GenerationRequest) -> AsyncGenerator[GenerationDelta]:
        """Generate; closing the iterator cancels the request.

        Raises:
            InvalidInput: when a number is out of its bounds, a token does not exist, the prompt has no tokens or more
                than the context, or its constraint cannot be followed.
            Overloaded: when the queue is full.
            ModelNotFound: when the adapter is not loaded.
            NotFinite: when the model's numbers for this request become infinite or NaN; others are not harmed.
            Unavailable: when the engine is closed, or what computes for it has died.
        """
        ...

    def count_tokens(self, text: str) -> int:
        """Tokens of a text, no special tokens added."""
        ...

    async def load_adapter(self, key: str, folder: Path) -> None:
        """Load an adapter under a key while others generate; does nothing when it is loaded.

        Raises:
            InvalidInput: when the folder holds no adapter for this base model, or one that this engine cannot apply.
        """
        ...

    async def unload_adapter(self, key: str) -> None:
        """Forget an adapter as soon as no request uses it; requests that come from now on do not find it."""
        ...

    def has_adapter(self, key: str) -> bool:
        """Whether an adapter is loaded under this key."""
        ...

    def adapters(self) -> Mapping[str, LoadedAdapter]:
        """The loaded adapters by key."""
        ...

    def load(self) -> EngineLoad:
        """What there is to do now."""
        ...

    def close(self) -> None:
        """End what computes; requests that are not at their end, and those that come later, get `Unavailable`."""
        ...
