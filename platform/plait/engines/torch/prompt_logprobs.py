"""Log-probabilities of a prompt's tokens, taken while its chunks are computed.

In: the hidden states of a chunk, and what makes logits of them. Out: how likely each token of the prompt was. Logits
are made for a few positions at a time, so that a long prompt takes no more memory than a short one. Knows neither steps
nor adapters.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from plait.engines.engine import TokenLogprob
from plait.engines.prompts import Prompt
from plait.engines.vocabulary import Vocabulary

_LOGITS_BYTES = 2**25
"""Of float32 logits at a time: 32 positions of 262,144 tokens. Their copies while they are worked on come on top."""


class PromptLogprobs:
    """The log-probabilities of one prompt, as far as it is computed.

    Args:
        prompt: the prompt.
        first: the position of its first token in the sequence.
        count: how many of the likeliest tokens are reported beside each.
        vocabulary: the base model's tokens.

    Attributes:
        told: of the tokens so far, without a log-probability for the first.
    """

    def __init__(self, prompt: Prompt, first: int, count: int, vocabulary: Vocabulary) -> None:
        self._tokens, self._first, self._count, self._vocabulary = prompt.tokens, first, count, vocabulary
        self._at_once = max(1, _LOGITS_BYTES // (4 * len(vocabulary)))
        begin = prompt.tokens[0]
        self.told = [TokenLogprob(begin, vocabulary.utf8(begin), None, is_text=not prompt.adds_bos)]

    @property
    def needed_from(self) -> int | None:
        """The position whose hidden state comes next; None when all are there."""
        return None if len(self.told) == len(self._tokens) else self._first + len(self.told) - 1

    def take(self, start: int, hidden: Tensor, logits_of: Callable[[Tensor], Tensor]) -> bool:
        """Take the hidden states [t, d] from the position `start` on; says whether their numbers are finite.

        What was taken before is skipped: a step may be computed twice.
        """
        end = min(start + len(hidden), self._first + len(self._tokens) - 1)
        while (at := self.needed_from) is not None and start <= at < end:
            rows = hidden[at - start : min(at + self._at_once, end) - start]
            if not self._take(at - self._first + 1, logits_of(rows).float()):
                return False
        return True

    def _take(self, index: int, logits: Tensor) -> bool:
        """Take the logits [t, v] for the tokens from `index` of the prompt on."""
        tokens = self._tokens[index : index + len(logits)]
        own = logits.gather(1, torch.tensor(tokens, device=logits.device)[:, None])
        normalizers = logits.logsumexp(dim=1, keepdim=True)
        if not bool(normalizers.isfinite().all()):
            return False
        ranks = (logits > own).sum(dim=1).add_(1).tolist()
        values, likeliest = logits.topk(min(self._count, logits.shape[1]), dim=1)
        utf8 = self._vocabulary.utf8
        for token, logprob, rank, others, logprobs in zip(
            tokens,
            (own - normalizers)[:, 0].tolist(),
            ranks,
            likeliest.tolist(),
            (values - normalizers).tolist(),
            strict=True,
        ):
            top = tuple(
                TokenLogprob(other, utf8(other), value, rank=place)
                for place, (other, value) in enumerate(zip(others, logprobs, strict=True), start=1)
            )
            self.told.append(TokenLogprob(token, utf8(token), logprob, top, rank))
        return True
