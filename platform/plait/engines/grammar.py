"""Answers that follow a constraint: which tokens may come next, by llguidance (github.com/guidance-ai/llguidance).

A constraint comes in as text, a mask over the vocabulary goes out for each step. A mask is computed when it is asked
for, in about 0.1 ms, so that a constraint compiles in milliseconds. Knows no logits and no requests.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from plait.engines.constraint import Constraint, guidance_grammar
from plait.engines.constraint_check import ConstraintCheck, cannot_follow
from plait.engines.vocabulary import Vocabulary

_COMPILED_CONSTRAINTS = 16
_LEXER_STATES = 25_000
"""Of a compiled constraint, about 1.2 kB each: all that are kept take 0.5 GB at most."""


@dataclass
class _Compiled:
    """A constraint's grammar, and a matcher at its beginning that answers start as copies of."""

    constraint: Constraint
    grammar: str
    matcher: Any


class Grammar:
    """Where one answer stands in its constraint.

    Args:
        constraint: for the error of an answer that cannot go on.
        matcher: at the beginning. It shares what it finds out about the constraint with others that were copied from
            the same one, its limits too.
        afresh: makes one that shares nothing.
    """

    def __init__(self, constraint: Constraint, matcher: Any, afresh: Callable[[], Any]) -> None:
        self._constraint, self._matcher, self._afresh = constraint, matcher, afresh
        self._tokens: list[int] = []

    def forbidden(self, vocabulary: int) -> Tensor:
        """Bool [vocabulary]: the tokens that may not come next."""
        mask = self._mask()
        if mask is None:  # other answers by this constraint may have used its limits up
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
            InvalidInput: when the answer cannot go on by its constraint, which takes one that is very ambiguous.
        """
        self._tokens.append(token)
        if not self._matcher.consume_token(token) or self._matcher.is_error():
            self._begin_afresh()
            if self._matcher.is_error():
                raise cannot_follow(self._constraint, self._matcher.get_error())

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


class Grammars:
    """The constraints' compiler for one tokenizer.

    Compiling is for a thread.

    Args:
        vocabulary: the tokens; those that end an answer are allowed only where it may end.
    """

    def __init__(self, vocabulary: Vocabulary) -> None:
        from llguidance import LLParserLimits

        self._tokenizer = vocabulary.guidance
        self._limits = LLParserLimits(max_lexer_states=_LEXER_STATES, verbose_errors=False)
        self._check = ConstraintCheck()
        self._compiled: dict[Constraint, _Compiled] = {}  # the last used are last

    def close(self) -> None:
        """End the processes that check constraints."""
        self._check.close()

    async def start(self, constraint: Constraint | None) -> Grammar | None:
        """The beginning of an answer that follows this constraint, if there is one; JSON is compact.

        Raises:
            InvalidInput: when the constraint is not of its kind, or asks for something that a grammar cannot.
        """
        if constraint is None:
            return None
        found = self._compiled.pop(constraint, None)
        if found is None:
            loop = asyncio.get_running_loop()
            found = await loop.run_in_executor(self._check.threads, self._compile, constraint)
        compiled = self._compiled[constraint] = found
        while len(self._compiled) > _COMPILED_CONSTRAINTS:
            del self._compiled[next(iter(self._compiled))]

        def afresh() -> Any:
            compiled.matcher = self._matcher(compiled.grammar)  # for those that come after, too
            return self._matcher(compiled.grammar)

        return Grammar(compiled.constraint, compiled.matcher.deep_copy(), afresh)

    def _compile(self, constraint: Constraint) -> _Compiled:
        """Its grammar and a matcher at its beginning, once it is known that it takes no more than it may."""
        grammar = guidance_grammar(self._check.check_in_this_thread(constraint))
        matcher = self._matcher(grammar)
        if matcher.is_error():
            raise cannot_follow(constraint, matcher.get_error())
        return _Compiled(constraint, grammar, matcher)

    def _matcher(self, grammar: str) -> Any:
        from llguidance import LLMatcher

        return LLMatcher(self._tokenizer, grammar, log_level=0, limits=self._limits)
