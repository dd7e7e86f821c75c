"""Whether questions drift away from those that a policy was learned from.

A question is as far away as its nearest neighbour among the questions that were learned from, by the cosine of their
embeddings, or of their words where the policy needs no embedding. What is usual is how far the learned questions are
from the nearest one of another document. Live questions drift when they are farther: the one-sided two-sample test of
Kolmogorov and Smirnov (1939), on a window of them. With many questions that test finds what does not matter, so the
distributions must lie apart by a fifth, too.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from scipy import stats
from sklearn.feature_extraction.text import HashingVectorizer

from plait.models.vectors import Vectors
from plait.routing.outcomes import Outcomes

SIGNIFICANT, APART = 0.001, 0.2
"""The p-value and the statistic of the test at which questions drift."""
_MOST_KEPT = 1000
"""Questions to compare with; of more a sample is kept."""
_FEWEST = 20
WORD_DIMENSIONS = 256


@dataclass(frozen=True)
class SeenQuestions:
    """The questions that a policy was learned from.

    Attributes:
        vectors: float32 [questions, dimension], unit length.
        distances: float32 [learned questions], from each to the nearest of another group, in [0, 2].
        are_words: whether the vectors are of words; else they are embeddings.
    """

    vectors: Vectors
    distances: Vectors
    are_words: bool

    def distance(self, question: str, embedding: Vectors | None) -> float:
        """How far a question is from the nearest of these.

        Args:
            embedding: float32 [dimension], unit length; not needed where these are words.
        """
        vector = words_of([question])[0] if self.are_words or embedding is None else embedding
        return float(1 - (self.vectors @ vector).max())


@dataclass(frozen=True)
class Drift:
    """How much farther questions are than usual.

    Attributes:
        statistic: of the test, in [0, 1]: by how much the distributions lie apart; 0 is no farther.
        p_value: of distances so far by chance.
    """

    statistic: float
    p_value: float

    @property
    def is_found(self) -> bool:
        return self.p_value < SIGNIFICANT and self.statistic >= APART


def seen_questions(outcomes: Outcomes, by_embedding: bool, seed: int) -> SeenQuestions | None:
    """What is kept of the questions that a policy was learned from; None: they are too few, or of one group.

    Args:
        by_embedding: compare embeddings, which the outcomes must have; else words.
    """
    groups = outcomes.group_numbers
    if len(outcomes) < _FEWEST or len(np.unique(groups)) < 2:
        return None
    vectors = outcomes.vectors if by_embedding else words_of(outcomes.questions)
    assert vectors is not None
    kept = np.arange(len(outcomes))
    if len(outcomes) > _MOST_KEPT:
        kept = np.sort(np.random.default_rng(seed).choice(len(outcomes), _MOST_KEPT, replace=False))
    cosines = vectors @ vectors[kept].T
    cosines[groups[:, None] == groups[kept][None, :]] = -1
    distances = (1 - cosines.max(axis=1)).astype(np.float32)
    return SeenQuestions(np.ascontiguousarray(vectors[kept], dtype=np.float32), distances, not by_embedding)


def drift_of(distances: Sequence[float], seen: SeenQuestions) -> Drift:
    """Whether the distances of a window of questions are larger than usual."""
    # The distribution function of larger numbers lies below: scipy's "less".
    found = stats.ks_2samp(distances, seen.distances, alternative="less", method="asymp")
    return Drift(float(found.statistic), float(found.pvalue))


def words_of(questions: Sequence[str]) -> Vectors:
    """Vectors of the words of questions, float32 [questions, 256], unit length; of one without words, zeros."""
    return np.asarray(_vectorizer().transform(questions).toarray(), dtype=np.float32)


@lru_cache(maxsize=1)
def _vectorizer() -> Any:
    return HashingVectorizer(n_features=WORD_DIMENSIONS, token_pattern=r"(?u)\b\w+\b")
