"""Logistic regression, one for each arm, over the words of a question and its embedding; calibrated.

An answer that is 70% right counts as 0.7 of a right one and 0.3 of a wrong one. Calibration is Platt's (1999,
Probabilistic outputs for support vector machines) on groups that were left out; it is linear in what the regression
says, so what is kept is one weight for each word, dimension and arm.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
from scipy.special import expit, logit
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression

from plait.evaluation.statistics.means import Array
from plait.models.vectors import Vectors
from plait.routing.estimators.estimator import folds, named
from plait.routing.outcomes import Outcomes, Rows
from plait.routing.policy import Arrays

MOST_WORDS = 1000
"""The most frequent words and pairs of words. Few eval sets have more that come twice."""
_NEVER_SURE = 0.01
"""No arm is right, or wrong, on all questions: a hundredth of each answer counts as the other."""
_CALIBRATION_FOLDS = 3
_WORDS_TOLD = 3


@dataclass(frozen=True)
class LogisticEstimator:
    """Weights of words and dimensions.

    Attributes:
        words: single ones and pairs, in the order of the weights.
        rarity: float32 [words], the inverse document frequency.
        of_words: float32 [words, arms].
        of_dimensions: float32 [dimension, arms].
        bias: float32 [arms].
    """

    words: Sequence[str]
    rarity: Vectors
    of_words: Vectors
    of_dimensions: Vectors
    bias: Vectors
    name: ClassVar[str] = "logistic"

    @property
    def dimension(self) -> int:
        return int(self.of_dimensions.shape[0])

    @property
    def arrays(self) -> Arrays:
        return {
            "rarity": self.rarity,
            "of_words": self.of_words,
            "of_dimensions": self.of_dimensions,
            "bias": self.bias,
        }

    @classmethod
    def opened(cls, arrays: Arrays, words: Sequence[str], arms: int) -> "LogisticEstimator":
        """See `Estimator`."""
        size = len(words)
        shapes = {"rarity": (size,), "of_words": (size, arms), "of_dimensions": (-1, arms), "bias": (arms,)}
        if size > MOST_WORDS or len(set(words)) != size:
            raise ValueError(f"the words are more than {MOST_WORDS}, or some come twice")
        return cls(words=tuple(words), **named(arrays, shapes))

    def probabilities(self, questions: Sequence[str], vectors: Vectors | None) -> Array:
        """See `Estimator`."""
        scores = np.tile(self.bias.astype(np.float64), (len(questions), 1))
        for row, question in enumerate(questions if self.words else ()):
            places, weights = self._weighed(question)
            scores[row] += weights @ self.of_words[places]
        if self.dimension:
            assert vectors is not None
            scores += vectors @ self.of_dimensions
        return np.asarray(expit(scores))

    def reasons(self, question: str, vector: Vectors | None) -> list[str]:
        """See `Estimator`."""
        if not self.words:
            return ["by its meaning"] * len(self.bias)
        places, weights = self._weighed(question)
        return [self._reason(places, weights * of_arm[places]) for of_arm in self.of_words.T]

    def _reason(self, places: Rows, shares: Array) -> str:
        best = [place for place in np.argsort(-shares, kind="stable")[:_WORDS_TOLD] if shares[place] > 0]
        told = ", ".join(f"'{self.words[places[place]]}'" for place in best)
        return f"its words {told} speak for it" if told else "no word of it speaks for it"

    def _weighed(self, question: str) -> tuple[Rows, Array]:
        """The places of the words that a question has, and their weights: those of the vectorizer that learned, which
        takes ten times as long for one question."""
        counts = Counter(self._places[word] for word in self._words_of(question) if word in self._places)
        places = np.array(sorted(counts), dtype=np.intp)
        often = np.array([counts[place] for place in places.tolist()], dtype=np.float64)
        weights: Array = (1 + np.log(often)) * self.rarity[places].astype(np.float64)
        return places, weights / max(float(np.linalg.norm(weights)), 1e-12)

    @cached_property
    def _places(self) -> Mapping[str, int]:
        return {word: place for place, word in enumerate(self.words)}

    @cached_property
    def _words_of(self) -> Callable[[str], list[str]]:
        analyze: Callable[[str], list[str]] = _new_vectorizer().build_analyzer()
        return analyze


@dataclass(frozen=True)
class LogisticLearner:
    """`strength` is scikit-learn's C: the larger, the further weights may go."""

    strength: float

    @property
    def name(self) -> str:
        return f"logistic regression, C={self.strength:g}"

    def can_learn(self, outcomes: Outcomes) -> bool:
        """See `Learner`."""
        return True

    def learn(self, outcomes: Outcomes, seed: int) -> LogisticEstimator:
        """See `Learner`."""
        words, rarity, counted = _words(outcomes.questions)
        vectors = np.zeros((len(outcomes), 0)) if outcomes.vectors is None else outcomes.vectors.astype(np.float64)
        features = np.hstack((counted, vectors))
        left_out = folds(outcomes, _CALIBRATION_FOLDS, seed)
        fitted = [self._fit_calibrated(features, quality, left_out) for quality in outcomes.quality.T]
        weights = np.stack([weights for weights, _ in fitted], axis=1).astype(np.float32)
        return LogisticEstimator(
            words=words,
            rarity=rarity,
            of_words=weights[: len(words)],
            of_dimensions=weights[len(words) :],
            bias=np.array([bias for _, bias in fitted], dtype=np.float32),
        )

    def _fit_calibrated(self, features: Array, quality: Array, left_out: Sequence[Any]) -> tuple[Array, float]:
        """Weights [features] and bias of one arm."""
        if not features.shape[1]:
            return np.zeros(0), _constant(quality)
        said = np.empty(len(features))
        for train, rest in left_out:
            weights, bias = _fit(features[train], quality[train], self.strength)
            said[rest] = features[rest] @ weights + bias
        slope, shift = _fit(said[:, None], quality, strength=1e3)
        if slope[0] <= 0:  # what it says of questions that it has not seen is no better than chance
            return np.zeros(features.shape[1]), _constant(quality)
        weights, bias = _fit(features, quality, self.strength)
        return slope[0] * weights, float(slope[0] * bias + shift)


def _constant(quality: Array) -> float:
    """The bias of an arm of which nothing but how often it is right is known."""
    return float(logit(_smoothed(quality).mean()))


def _smoothed(quality: Array) -> Array:
    return _NEVER_SURE + (1 - 2 * _NEVER_SURE) * quality


def _fit(features: Array, quality: Array, strength: float) -> tuple[Array, float]:
    right = _smoothed(quality)
    model = LogisticRegression(C=strength, max_iter=1000)
    truth = np.repeat((1, 0), len(quality))
    model.fit(np.vstack((features, features)), truth, sample_weight=np.concatenate((right, 1 - right)))
    return model.coef_[0], float(model.intercept_[0])


def _words(questions: Sequence[str]) -> tuple[tuple[str, ...], Vectors, Array]:
    """The words of questions, their rarity [words], and each question's weights of them [questions, words]."""
    vectorizer = _new_vectorizer(max_features=MOST_WORDS)
    if not any(vectorizer.build_analyzer()(question) for question in questions):
        return (), np.zeros(0, dtype=np.float32), np.zeros((len(questions), 0))
    counted = vectorizer.fit_transform(questions).toarray()
    return tuple(vectorizer.get_feature_names_out().tolist()), vectorizer.idf_.astype(np.float32), counted


def _new_vectorizer(**settings: Any) -> Any:
    """Words of one letter count, too: in many languages they are words."""
    return TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, token_pattern=r"(?u)\b\w+\b", **settings)
