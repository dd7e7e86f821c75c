"""`rouge_l`: the longest common subsequence of words of reply and answer, as an F-measure (Lin 2004, W04-1013).

Google's `rouge-score` computes it, with words of any script, which its own tokenizer would leave out, and without
stemming, which it has for English alone. Of several answers the best counts. It asks no judge.
"""

import re
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from plait.evaluation.metrics.metric import Need
from plait.evaluation.sample import Sample
from plait.evaluation.score import Score

if TYPE_CHECKING:
    from rouge_score.rouge_scorer import RougeScorer

_WORD = re.compile(r"\w+")


@dataclass(frozen=True)
class RougeL:
    """ROUGE-L F1 of the reply and the nearest answer."""

    name: str = "rouge_l"
    needs: frozenset[Need] = frozenset({Need.ANSWERS})

    async def score(self, sample: Sample) -> Score:
        """See `Metric`."""
        scored = (_scorer().score(answer, sample.reply)["rougeL"].fmeasure for answer in sample.answers)
        return Score(max(scored))


class _Words:
    """The library's tokenizer, for any script."""

    def tokenize(self, text: str) -> list[str]:
        return _WORD.findall(text.lower())


@cache
def _scorer() -> "RougeScorer":
    from rouge_score.rouge_scorer import RougeScorer

    return RougeScorer(["rougeL"], tokenizer=_Words())
