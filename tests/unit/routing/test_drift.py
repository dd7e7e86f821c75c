"""The test of drift fires for other questions, hardly ever for the same kind, and its questions survive a folder."""

from dataclasses import replace

import numpy as np
import pytest
from made_outcomes import made_outcomes

from plait.models.vectors import Vectors
from plait.routing.drift import SeenQuestions, drift_of, seen_questions


def seen(by_embedding: bool = True) -> SeenQuestions:
    found = seen_questions(made_outcomes(count=400, has_vectors=True), by_embedding, seed=0)
    assert found is not None
    return found


def live(count: int, seed: int, shift: float = 0.0) -> Vectors:
    """Questions as the made ones are, or turned away from them."""
    random = np.random.default_rng(seed)
    topics = np.eye(2)[random.integers(0, 2, count)]
    vectors = np.hstack((topics, random.normal(shift, 0.3, (count, 2)))).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def test_it_does_not_fire_for_questions_of_the_same_kind() -> None:
    known = seen()
    fired = [
        drift_of([known.distance("", vector) for vector in live(200, seed)], known).is_found for seed in range(100)
    ]
    assert sum(fired) == 0


def test_it_fires_for_questions_that_moved_away() -> None:
    known = seen()
    found = drift_of([known.distance("", vector) for vector in live(200, 1, shift=0.8)], known)
    assert found.is_found
    assert found.statistic > 0.3


def test_questions_that_are_nearer_than_usual_do_not_drift() -> None:
    known = seen()
    assert not drift_of([0.0] * 200, known).is_found


def test_without_embeddings_words_tell() -> None:
    known = seen(by_embedding=False)
    assert known.are_words
    same = [known.distance(f"How long is warranty {number}?", None) for number in range(200)]
    other = [known.distance(f"Wer bewacht das Tor Nummer {number}", None) for number in range(200)]
    assert not drift_of(same, known).is_found
    assert drift_of(other, known).is_found


def test_distances_are_to_other_documents() -> None:
    outcomes = made_outcomes(count=40, has_vectors=True)
    assert outcomes.vectors is not None
    twice = replace(
        outcomes, vectors=np.repeat(outcomes.vectors[::2], 2, axis=0), groups=[f"{n // 2}" for n in range(40)]
    )
    found = seen_questions(twice, True, seed=0)
    assert found is not None
    assert found.distances.min() > 0


@pytest.mark.parametrize("made", [made_outcomes(count=10), made_outcomes(count=40, questions_of_a_document=40)])
def test_too_few_tell_nothing(made: object) -> None:
    assert seen_questions(made, False, seed=0) is None  # type: ignore[arg-type]
