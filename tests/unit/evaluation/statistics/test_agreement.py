"""Agreement beyond chance, and how sure it is."""

import numpy as np
import pytest

from plait.evaluation.statistics.agreement import agreement


def test_kappa_is_cohens() -> None:
    # 20 of 25 true and 15 of 25 untrue are seen: agreement 0.7, by chance 0.5
    truths = [True] * 25 + [False] * 25
    verdicts = [True] * 20 + [False] * 5 + [True] * 10 + [False] * 15
    found = agreement(truths, verdicts)
    assert found is not None
    assert (found.raw, found.kappa.value, found.youden.value) == pytest.approx((0.7, 0.4, 0.4))
    assert (found.sensitivity.value, found.specificity.value) == (0.8, 0.6)
    assert found.kappa.low < 0.4 < found.kappa.high


def test_without_both_truths_chance_is_not_known() -> None:
    assert agreement([True, True], [True, False]) is None


@pytest.mark.parametrize(("sensitivity", "specificity"), [(0.9, 0.6), (0.7, 0.95), (0.5, 0.5)])
def test_intervals_of_kappa_cover(sensitivity: float, specificity: float) -> None:
    # 30 questions of one true and three untrue claims each.
    random = np.random.default_rng(10)
    truths = [True, False, False, False] * 30
    groups = [str(place // 4) for place in range(120)]
    chance = np.where(truths, sensitivity, specificity)
    positive = sensitivity / 4 + (1 - specificity) * 3 / 4
    by_chance = positive / 4 + (1 - positive) * 3 / 4
    true_kappa = (sensitivity / 4 + specificity * 3 / 4 - by_chance) / (1 - by_chance)
    covered = useless = 0
    for _ in range(400):
        right = random.random(120) < chance
        verdicts = [truth if is_right else not truth for truth, is_right in zip(truths, right, strict=True)]
        found = agreement(truths, verdicts, groups)
        assert found is not None
        covered += found.kappa.low <= true_kappa <= found.kappa.high
        useless += found.is_useless
    assert covered / 400 >= 0.93
    assert (useless > 380) == (true_kappa == 0)
