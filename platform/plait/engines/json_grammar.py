"""Answers that follow a JSON schema: which tokens may come next, by llguidance (github.com/guidance-ai/llguidance).

A schema comes in as text, a mask over the vocabulary goes out for each step. A mask is computed when it is asked for,
in about 0.1 ms, so that a schema compiles in milliseconds. Knows no logits and no requests.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from plait.engines.schema_check import SchemaCheck, cannot_follow
from plait.engines.vocabulary import Vocabulary

_COMPILED_SCHEMAS = 16
_LEXER_STATES = 25_000
"""Of a compiled schema, about 1.2 kB each: all that are kept take 0.5 GB at most."""


@dataclass
class _Compiled:
    """A schema's grammar, and a matcher at its beginning that answers start as copies of."""

    grammar: str
    matcher: Any


class JsonGrammar:
    """Where one answer stands in its schema.

    Args:
        matcher: at the beginning. It shares what it finds out about the schema with others that were copied from the
            same one, its limits too.
        afresh: makes one that shares nothing.
    """

    def __init__(self, matcher: Any, afresh: Callable[[], Any]) -> None:
        self._matcher, self._afresh = matcher, afresh
        self._tokens: list[int] = []

    def forbidden(self, vocabulary: int) -> Tensor:
        """Bool [vocabulary]: the tokens that may not come next."""
        mask = self._mask()
        if mask is None:  # other answers by this schema may have used its limits up
            self._begin_afresh()
            mask = self._mask()
        if mask is None:  # this one alone has: `push` says so, unless the token happens to be right
            return torch.zeros(vocabulary, dtype=torch.bool)
        packed = np.frombuffer(mask, dtype=np.uint8)
        allowed = np.zeros(vocabulary, dtype=np.uint8)
        known = np.unpackbits(packed, count=min(vocabulary, len(packed) * 8), bitorder="little")
        allowed[: len(known)] = known
        return torch.from_numpy(allowed == 0)

    def push(self, token: int) -> None:
        """Take the next token.

        Raises:
            InvalidInput: when the answer cannot go on by this schema, which takes one that is very ambiguous.
        """
        self._tokens.append(token)
        if not self._matcher.consume_token(token) or self._matcher.is_error():
            self._begin_afresh()
            if self._matcher.is_error():
                raise cannot_follow(self._matcher.get_error())

    def _mask(self) -> bytes | None:
        """Packed bits of the tokens that may come next; None beyond the library's limits."""
        try:
            mask = bytes(self._matcher.compute_bitmask())
        except ValueError:
            return None
        # Beyond a limit that the mask itself reaches, it only lets the answer end.
        return None if self._matcher.is_error() else mask

    def _begin_afresh(self) -> None:
        self._matcher = self._afresh()
        self._matcher.consume_tokens(self._tokens)

    @property
    def is_complete(self) -> bool:
        """Whether nothing may follow."""
        return bool(self._matcher.is_stopped())


class JsonGrammars:
    """The schemas' compiler for one tokenizer.

    Compiling is for a thread.

    Args:
        vocabulary: the tokens; those that end an answer are allowed only where the JSON may end.
    """

    def __init__(self, vocabulary: Vocabulary) -> None:
        from llguidance import LLParserLimits

        self._tokenizer = vocabulary.guidance
        self._limits = LLParserLimits(max_lexer_states=_LEXER_STATES, verbose_errors=False)
        self._check = SchemaCheck()
        self._compiled: dict[str, _Compiled] = {}  # the last used are last

    def close(self) -> None:
        """End the processes that check schemas."""
        self._check.close()

    async def start(self, schema: str | None) -> JsonGrammar | None:
        """The beginning of an answer that follows this schema, if there is one; compact, without spaces or newlines.

        Raises:
            InvalidInput: when the schema is not one, or asks for something that a grammar cannot.
        """
        if schema is None:
            return None
        found = self._compiled.pop(schema, None)
        if found is None:
            loop = asyncio.get_running_loop()
            found = await loop.run_in_executor(self._check.threads, self._compile, schema)
        compiled = self._compiled[schema] = found
        while len(self._compiled) > _COMPILED_SCHEMAS:
            del self._compiled[next(iter(self._compiled))]

        def afresh() -> Any:
            compiled.matcher = self._matcher(compiled.grammar)  # for those that come after, too
            return self._matcher(compiled.grammar)

        return JsonGrammar(compiled.matcher.deep_copy(), afresh)

    def _compile(self, schema: str) -> _Compiled:
        """A schema's grammar and a matcher at its beginning, once it is known that it takes no more than it may."""
        from llguidance import LLMatcher

        # Where spaces are allowed anywhere, small models write them without end.
        grammar = LLMatcher.grammar_from_json_schema(
            self._check.check_in_this_thread(schema), overrides={"whitespace_flexible": False}
        )
        matcher = self._matcher(grammar)
        if matcher.is_error():
            raise cannot_follow(matcher.get_error())
        return _Compiled(grammar, matcher)

    def _matcher(self, grammar: str) -> Any:
        from llguidance import LLMatcher

        return LLMatcher(self._tokenizer, grammar, log_level=0, limits=self._limits)
