"""From the logits of a step to the next token of each row, by what each request asks for.

The order is vLLM's: log-probabilities are taken of the logits as they come; then what may not come (grammar,
allowed_token_ids, min_tokens, bad_words), logit_bias, penalties for repetition, frequency and presence, temperature,
min_p, top_k, top_p. (vLLM: grammar first.)
Knows neither text nor batches: what shares the batch changes no token.
"""

import math
from collections import Counter
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from plait.engines.bad_words import BadWords
from plait.engines.engine import Sampling, TokenLogprob
from plait.engines.grammar import Grammar
from plait.engines.token_filters import draw, likeliest
from plait.engines.vocabulary import Vocabulary
from plait.errors import InvalidInput, NotFinite

_GREEDY_BELOW = 1e-5
"""A temperature below which the likeliest token is taken, as in vLLM: logits divided by less overflow."""


class Sampler:
    """How one request chooses its tokens; a generator of its own makes its seed hold in any batch.

    What it counts are the tokens pushed, not the steps: a row that is computed anew after losing its memory counts none
    twice.

    Args:
        sampling: what the request asks for.
        prompt: the tokens of its prompt.
        vocabulary: the base model's tokens.
        grammar: of its constraint.
        bad_words: in the model's tokens.
        end_ids: tokens that end an answer, which do not come before `min_tokens`.
    """

    def __init__(
        self,
        sampling: Sampling,
        prompt: Sequence[int],
        vocabulary: Vocabulary,
        grammar: Grammar | None = None,
        bad_words: BadWords | None = None,
        end_ids: Iterable[int] = (),
    ) -> None:
        self._sampling, self._vocabulary, self._grammar = sampling, vocabulary, grammar
        self._is_greedy = sampling.temperature < _GREEDY_BELOW
        self._has_penalties = bool(sampling.presence_penalty or sampling.frequency_penalty)
        self._bad_words = bad_words
        self._end_ids = torch.tensor(sorted(end_ids), dtype=torch.long)
        self._not_allowed = (
            _all_but(sampling.allowed_token_ids, len(vocabulary)) if sampling.allowed_token_ids else None
        )
        self._always_changes = bool(
            grammar is not None
            or bad_words is not None
            or sampling.allowed_token_ids
            or sampling.logit_bias
            or sampling.repetition_penalty != 1
            or self._has_penalties
        )
        self._said: list[int] = []
        self._prompt = dict.fromkeys(prompt if sampling.repetition_penalty != 1 else ())
        self._counts: Counter[int] = Counter()
        self._logprobs: list[TokenLogprob] = []
        self._bias = _bias(sampling.logit_bias) if sampling.logit_bias else None
        self._generator = torch.Generator()  # on the CPU: the same numbers on any device
        if sampling.seed is None:
            self._generator.seed()
        else:
            self._generator.manual_seed(sampling.seed)

    @property
    def needs_logits(self) -> bool:
        """Whether more than the likeliest token is asked for."""
        return not self._is_greedy or self._sampling.logprobs is not None or self._changes_logits

    @property
    def is_complete(self) -> bool:
        """Whether the answer may end nowhere else than here."""
        return self._grammar is not None and self._grammar.is_complete

    def next_token(self, logits: Tensor) -> int:
        """Choose by finite logits [v] of any floating type, on any device.

        Raises:
            InvalidInput: when what the request allows lets no token come next.
            NotFinite: when the request's own changes leave no finite largest logit.
        """
        own = logits.float()
        changed = own
        if self._changes_logits:
            changed = self._change(own.clone())
            _check_largest(float(changed.amax()))
        if self._is_greedy:
            token = int(changed.argmax())
        else:
            asked = self._sampling
            share = float(torch.rand((), generator=self._generator, dtype=torch.float64))
            token = draw(changed, asked.temperature, asked.top_p, asked.top_k, asked.min_p, share)
        if self._sampling.logprobs is not None:
            self._logprobs.append(self._report(own, token, self._sampling.logprobs))
        return token

    def push(self, token: int) -> None:
        """Take the next token of the answer.

        Raises:
            InvalidInput: when the answer cannot go on by its constraint.
        """
        self._said.append(token)
        self._counts[token] += 1
        if self._grammar is not None:
            self._grammar.push(token)

    def take_logprobs(self) -> tuple[TokenLogprob, ...]:
        """Log-probabilities of the tokens since the last call, if the request asks for any."""
        taken, self._logprobs = tuple(self._logprobs), []
        return taken

    @property
    def _may_not_end(self) -> bool:
        return len(self._said) < self._sampling.min_tokens

    @property
    def _changes_logits(self) -> bool:
        return self._always_changes or self._may_not_end

    def _change(self, logits: Tensor) -> Tensor:
        """Change logits [v] in place."""
        asked, device = self._sampling, logits.device
        if self._grammar is not None:
            logits.masked_fill_(self._grammar.forbidden(len(logits)).to(device), -math.inf)
        if self._not_allowed is not None:
            self._not_allowed = self._not_allowed.to(device)
            logits[: len(self._not_allowed)].masked_fill_(self._not_allowed, -math.inf)
            logits[len(self._not_allowed) :] = -math.inf
        if self._may_not_end:
            logits[self._end_ids.to(device)] = -math.inf
        if self._bad_words is not None and (forbidden := self._bad_words.forbidden(self._said)):
            logits[forbidden] = -math.inf
        if self._bias is not None:
            tokens, biases = self._bias = self._bias[0].to(device), self._bias[1].to(device)
            logits.index_add_(0, tokens, biases)
        if asked.repetition_penalty != 1 and (self._prompt or self._counts):
            seen = torch.tensor(list(self._prompt | self._counts), device=device)
            values, penalty = logits[seen], asked.repetition_penalty
            logits[seen] = torch.where(values > 0, values / penalty, values * penalty)
        if self._has_penalties and self._counts:
            said = torch.tensor(list(self._counts), device=device)
            counts = torch.tensor(list(self._counts.values()), device=device).float()
            logits[said] -= asked.frequency_penalty * counts + asked.presence_penalty
        return logits

    def _report(self, logits: Tensor, token: int, count: int) -> TokenLogprob:
        values, tokens = likeliest(logits, min(max(count, 1), len(logits)))
        largest_logit = float(values[0])
        normalizer = largest_logit + float((logits - largest_logit).exp_().sum().log())
        others = zip(tokens[:count].tolist(), values[:count].tolist(), strict=True)
        utf8 = self._vocabulary.utf8
        return TokenLogprob(
            token,
            utf8(token),
            float(logits[token]) - normalizer,
            tuple(
                TokenLogprob(other, utf8(other), value - normalizer, rank=rank)
                for rank, (other, value) in enumerate(others, start=1)
            ),
        )


def _all_but(tokens: Sequence[int], vocabulary: int) -> Tensor:
    """Bool [vocabulary]: every token but these."""
    return torch.ones(vocabulary, dtype=torch.bool).index_fill_(0, torch.tensor(tokens), False)


def _bias(pairs: Sequence[tuple[int, float]]) -> tuple[Tensor, Tensor]:
    """Tokens [n] and what is added to their logits, float32 [n]."""
    tokens, biases = zip(*pairs, strict=True)
    return torch.tensor(tokens), torch.tensor(biases, dtype=torch.float32)


def not_finite(whose: str) -> NotFinite:
    """What a request gets whose numbers are not."""
    return NotFinite(
        f"No token can be chosen: {whose} numbers are infinite or not a number.",
        "Try another adapter; one that does this to every request has broken weights.",
    )


def largest(logits: Tensor) -> Tensor:
    """[b] the first of the largest logits of each row [b, v], -1 where it is not finite.

    Of blocks first, then within the block: `argmax` of bfloat16 compares one by one on CPUs, `amax` many at once: 7.5
    and 0.7 ms for 16 rows of 262,144. All of them take NaN for larger than any number.
    """
    rows, vocabulary = logits.shape
    block = 128 if vocabulary % 128 == 0 else vocabulary
    blocks = logits.view(rows, vocabulary // block, block)  # without -1: there may be no rows
    best = blocks.amax(dim=-1).argmax(dim=-1)
    of_best = blocks[torch.arange(rows, device=logits.device), best]
    tokens = of_best.argmax(dim=-1)
    is_finite = of_best.gather(1, tokens[:, None])[:, 0].isfinite()
    return (best * block + tokens).where(is_finite, -1)


def _check_largest(logit: float) -> None:
    if logit == -math.inf:
        raise InvalidInput(
            "What the request allows lets no token come next.",
            "Change or leave out its schema or grammar, allowed_token_ids, bad_words or min_tokens.",
        )
    if not math.isfinite(logit):
        raise not_finite("after bias and penalties the request's")
