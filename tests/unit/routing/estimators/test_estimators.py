"""Estimators say probabilities that hold on questions that they have not seen."""

import numpy as np
import pytest
from made_outcomes import Right, by_nothing, by_words, made_outcomes
from scipy.special import logit
from sklearn.feature_extraction.text import TfidfVectorizer

from plait.routing.estimators import ESTIMATORS, LEARNERS
from plait.routing.estimators.estimator import Learner, folds
from plait.routing.estimators.logistic import LogisticEstimator, LogisticLearner
from plait.routing.outcomes import Outcomes


@pytest.mark.parametrize("learner", LEARNERS, ids=lambda learner: learner.name)
def test_what_is_kept_says_the_same(learner: Learner) -> None:
    outcomes = made_outcomes(has_vectors=True)
    learned = learner.learn(outcomes, seed=0)
    opened = ESTIMATORS[learned.name].opened(learned.arrays, list(learned.words), arms=2)
    said = learned.probabilities(outcomes.questions, outcomes.vectors)
    assert said.shape == (80, 2)
    np.testing.assert_array_equal(said, opened.probabilities(outcomes.questions, outcomes.vectors))


@pytest.mark.parametrize("learner", LEARNERS, ids=lambda learner: learner.name)
def test_an_arm_that_is_always_right_is_probably_right(learner: Learner) -> None:
    outcomes = made_outcomes(lambda number, topic: (1.0, 0.0), has_vectors=True)
    said = learner.learn(outcomes, seed=0).probabilities(outcomes.questions, outcomes.vectors)
    assert (said[:, 0] > 0.9).all()
    assert (said[:, 1] < 0.1).all()
    assert ((said >= 0) & (said <= 1)).all()


def _errors(right: Right, learner: Learner) -> tuple[float, float]:
    """Mean squared error on questions that were not learned from; of one who knows the means alone."""
    outcomes = made_outcomes(right, 200)
    seen, unseen = outcomes.rows(np.arange(100)), outcomes.rows(np.arange(100, 200))
    said = learner.learn(seen, seed=0).probabilities(unseen.questions, None)
    means = seen.quality.mean(axis=0)
    return float(((said - unseen.quality) ** 2).mean()), float(((means - unseen.quality) ** 2).mean())


def test_words_that_tell_arms_apart_are_learned_and_nothing_else_is() -> None:
    learner = LogisticLearner(10.0)
    error, of_means = _errors(by_words, learner)
    assert error < of_means / 2
    error, of_means = _errors(by_nothing, learner)
    assert error < of_means * 1.1


def test_questions_without_a_word_are_learned_from() -> None:
    outcomes = made_outcomes()
    silent = Outcomes(outcomes.arms, ["?"] * 80, outcomes.quality, outcomes.tokens, outcomes.kinds, outcomes.groups)
    said = LogisticLearner(1.0).learn(silent, seed=0).probabilities(["?", "words"], None)
    np.testing.assert_allclose(said, np.tile(outcomes.quality.mean(axis=0), (2, 1)), atol=0.03)


def test_no_group_is_learned_from_and_judged_by() -> None:
    outcomes = made_outcomes(questions_of_a_document=3)
    groups = outcomes.group_numbers
    for train, rest in folds(outcomes, 5, seed=0):
        assert not set(groups[train]) & set(groups[rest])


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("bias", lambda array: array[:1]),
        ("of_words", lambda array: array * np.float32("nan")),
        ("rarity", lambda array: array.astype(np.float64)),
        ("of_dimensions", lambda array: array[:, :, None]),
    ],
)
def test_arrays_that_do_not_belong_together_are_refused(name: str, change: object) -> None:
    learned = LogisticLearner(1.0).learn(made_outcomes(), seed=0)
    arrays = dict(learned.arrays) | {name: change(learned.arrays[name])}  # type: ignore[operator]
    with pytest.raises(ValueError, match=f"the array {name} is not finite float32"):
        ESTIMATORS["logistic"].opened(arrays, learned.words, arms=2)


def test_a_question_is_weighed_as_the_vectorizer_that_learned_does() -> None:
    questions = made_outcomes().questions
    vectorizer = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, token_pattern=r"(?u)\b\w+\b")
    vectorizer.fit(questions)
    words = vectorizer.get_feature_names_out().tolist()
    each_word = np.eye(len(words), dtype=np.float32)
    nothing = np.zeros((0, len(words)), np.float32)
    estimator = LogisticEstimator(words, vectorizer.idf_.astype(np.float32), each_word, nothing, np.zeros(len(words)))
    asked = ["How long long LONG is ticket 7 as JSON?", "", "Niemand kennt das", questions[3]]
    expected = vectorizer.transform(asked).toarray()
    assert logit(estimator.probabilities(asked, None)) == pytest.approx(expected, abs=1e-5)
