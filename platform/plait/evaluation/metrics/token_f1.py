"""`exact_match` and `token_f1`: the reply against the expected answers word by word, as SQuAD scores.

Texts are compared after SQuAD's normalisation (Rajpurkar et al. 2016, arXiv:1606.05250): lower case, no punctuation, no
English articles, single blanks. Of several answers the best counts. They ask no judge, and suit short answers; a reply
in a whole sentence loses precision for every word around the answer.
"""

import re
import unicodedata
from collections import Counter
from dataclasses import dataclass

from plait.evaluation.metrics.metric import Need
from plait.evaluation.sample import Sample
from plait.evaluation.score import Score

_ARTICLE = re.compile(r"\b(?:a|an|the)\b")


@dataclass(frozen=True)
class ExactMatch:
    """1 where the reply is one of the answers, else 0."""

    name: str = "exact_match"
    needs: frozenset[Need] = frozenset({Need.ANSWERS})

    async def score(self, sample: Sample) -> Score:
        """See `Metric`."""
        given = normalised(sample.reply)
        return Score(float(any(given == normalised(answer) for answer in sample.answers)))


@dataclass(frozen=True)
class TokenF1:
    """The harmonic mean of the shares of the reply's and of the answer's words that the other has."""

    name: str = "token_f1"
    needs: frozenset[Need] = frozenset({Need.ANSWERS})

    async def score(self, sample: Sample) -> Score:
        """See `Metric`."""
        return Score(max(token_f1(sample.reply, answer) for answer in sample.answers))


def normalised(text: str) -> str:
    """A text as SQuAD compares it; punctuation is what Unicode says it is.

    >>> normalised("The  Apache-2.0 License!")
    'apache20 license'
    """
    kept = "".join(each for each in text.lower() if not unicodedata.category(each).startswith(("P", "S")))
    return " ".join(_ARTICLE.sub(" ", kept).split())


def token_f1(reply: str, answer: str) -> float:
    """F1 of the words of two texts, each as often as it stands there; of two without words 1.

    >>> round(token_f1("It is version 2", "version 2"), 3)
    0.667
    """
    given, wanted = normalised(reply).split(), normalised(answer).split()
    if not given or not wanted:
        return float(given == wanted)
    common = (Counter(given) & Counter(wanted)).total()
    return 2 * common / (len(given) + len(wanted))
