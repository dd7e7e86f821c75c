"""Answers that follow a JSON schema: which tokens may come next, by llguidance (github.com/guidance-ai/llguidance).

A schema comes in as text, a mask over the vocabulary goes out for each step. A mask is computed when it is asked for,
in about 0.1 ms, so that a schema compiles in milliseconds. Knows no logits and no requests.
"""

import asyncio
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from plait.errors import InvalidInput

_COMPILED_SCHEMAS = 64


class JsonGrammar:
    """Where one answer stands in its schema."""

    def __init__(self, matcher: Any) -> None:
        self._matcher = matcher

    def forbidden(self, vocabulary: int) -> Tensor:
        """Bool [vocabulary]: the tokens that may not come next."""
        try:
            packed = np.frombuffer(self._matcher.compute_bitmask(), dtype=np.uint8)
        except ValueError:  # beyond the library's limits: `push` says so, to this request alone
            return torch.zeros(vocabulary, dtype=torch.bool)
        allowed = np.zeros(vocabulary, dtype=np.uint8)
        known = np.unpackbits(packed, count=min(vocabulary, len(packed) * 8), bitorder="little")
        allowed[: len(known)] = known
        return torch.from_numpy(allowed == 0)

    def push(self, token: int) -> None:
        """Take the next token.

        Raises:
            InvalidInput: when the answer cannot go on by this schema, which takes one that is very ambiguous.
        """
        if not self._matcher.consume_token(token):
            raise _cannot_follow(self._matcher.get_error())

    @property
    def is_complete(self) -> bool:
        """Whether nothing may follow."""
        return bool(self._matcher.is_stopped())


class JsonGrammars:
    """The schemas' compiler for one tokenizer.

    Building it holds Python's lock for seconds (2 with Gemma's 262,144 tokens, most of it reading the tokenizer), so it
    is built before there are requests; compiling is for a thread.

    Args:
        tokenizer: a fast transformers tokenizer.
        end_ids: tokens that end an answer; allowed only where the JSON may end.
    """

    def __init__(self, tokenizer: Any, end_ids: Iterable[int]) -> None:
        from llguidance.hf import from_tokenizer

        self._tokenizer = from_tokenizer(tokenizer, eos_token=sorted(end_ids) or None)
        self._compiled = lru_cache(_COMPILED_SCHEMAS)(self._compile)

    async def start(self, schema: str | None) -> JsonGrammar | None:
        """The beginning of an answer that follows this schema, if there is one; compact, without spaces or newlines.

        Raises:
            InvalidInput: when the schema is not one, or asks for something that a grammar cannot.
        """
        if schema is None:
            return None
        matcher = await asyncio.to_thread(self._compiled, schema)
        return JsonGrammar(matcher.deep_copy())

    def _compile(self, schema: str) -> Any:
        from llguidance import LLMatcher

        try:
            # Where spaces are allowed anywhere, small models write them without end.
            grammar = LLMatcher.grammar_from_json_schema(schema, overrides={"whitespace_flexible": False})
        except ValueError as error:
            raise _cannot_follow(str(error)) from error
        matcher = LLMatcher(self._tokenizer, grammar, log_level=0)
        if matcher.is_error():
            raise _cannot_follow(matcher.get_error())
        return matcher


def _cannot_follow(reason: str) -> InvalidInput:
    sentence = " ".join(reason.split()).rstrip(".")[:200]
    return InvalidInput(f"The JSON schema cannot be followed ({sentence}).", "Change or leave out what is named.")
