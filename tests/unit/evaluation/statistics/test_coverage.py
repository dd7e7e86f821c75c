"""What 95% means: simulated populations whose truth is known, with a fixed seed."""

import numpy as np
import pytest

from plait.evaluation.statistics.comparisons import Pair, compare
from plait.evaluation.statistics.figure import figure


def covered(populations: list[tuple[list[float], list[str]]], truth: float) -> float:
    """How often the interval holds the truth."""
    found = [figure(scores, groups) for scores, groups in populations]
    return sum(each.low <= truth <= each.high for each in found) / len(found)


@pytest.mark.parametrize("share", [0.5, 0.9])
def test_intervals_of_shares_cover(share: float) -> None:
    draws = np.random.default_rng(1).random((2000, 60)) < share
    assert 0.93 <= covered([(list(row.astype(float)), []) for row in draws], share) <= 0.97


def test_intervals_of_shares_cover_where_questions_come_from_documents() -> None:
    # 20 documents of 3 questions; how well a document is answered varies (intra-class correlation 0.25).
    random = np.random.default_rng(2)
    of_document = random.beta(0.8 * 3, 0.2 * 3, (1000, 20))
    right = random.random((1000, 20, 3)) < of_document[:, :, None]
    groups = [str(i // 3) for i in range(60)]
    assert 0.93 <= covered([(list(rows.reshape(60).astype(float)), groups) for rows in right], 0.8) <= 0.98
    # Without the groups they would not.
    assert covered([(list(rows.reshape(60).astype(float)), []) for rows in right], 0.8) < 0.92


@pytest.mark.parametrize("size", [8, 40])
def test_intervals_of_numbers_cover(size: int) -> None:
    # As faithfulness is: mostly all claims, sometimes none, else a share of them.
    values, chances = np.array([0.0, 1 / 3, 0.5, 2 / 3, 1.0]), np.array([0.1, 0.1, 0.15, 0.15, 0.5])
    drawn = np.random.default_rng(3).choice(values, (150, size), p=chances)
    found = covered([(list(row), []) for row in drawn], float(values @ chances))
    assert found >= 0.91  # of 150 draws; 0.95 is expected, and more for few samples


def test_intervals_of_numbers_cover_where_questions_come_from_documents() -> None:
    random = np.random.default_rng(5)
    groups = [str(i // 3) for i in range(60)]
    of_document = np.repeat(random.beta(6, 2, (100, 20)), 3, axis=1)
    scores = of_document * random.choice([0.5, 1.0], (100, 60))
    found = covered([(list(row), groups) for row in scores], 0.75 * 0.75)
    assert found >= 0.9  # of 100 draws; 0.95 is expected


def test_equal_arms_are_called_different_as_seldom_as_is_said() -> None:
    random = np.random.default_rng(4)
    both = random.random((2000, 2, 50)) < 0.7
    binary = [compare([Pair("m", "a", "b", *pair.astype(float).tolist())])[0].p_value for pair in both[:500]]
    assert sum(p < 0.05 for p in binary) / 500 <= 0.05
    numbers = random.random((80, 2, 10)).round(2).tolist()
    sampled = [compare([Pair("m", "a", "b", *pair)])[0].p_value for pair in numbers]
    assert sum(p < 0.05 for p in sampled) / 80 <= 0.1  # 0.05 is expected
