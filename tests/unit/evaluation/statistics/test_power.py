"""What questions can tell is what the test then tells."""

import numpy as np
import pytest

from plait.evaluation.statistics.binary import mcnemar_exact
from plait.evaluation.statistics.comparisons import Pair
from plait.evaluation.statistics.power import Power, observed_power


@pytest.mark.parametrize(("discordance", "difference"), [(0.25, 0.1), (0.3, 0.2), (0.1, 0.05)])
def test_the_number_that_is_needed_finds_the_difference_in_four_of_five_runs(
    discordance: float, difference: float
) -> None:
    size = Power(100, discordance).needed(difference)
    drawn = np.random.default_rng(5).random((500, size))
    only_first = drawn < (discordance + difference) / 2
    only_second = (drawn < discordance) & ~only_first
    found = [mcnemar_exact(a, b) < 0.05 for a, b in zip(only_first.tolist(), only_second.tolist(), strict=True)]
    assert 0.75 <= sum(found) / 500 <= 0.85


def test_needed_and_detectable_are_each_others_reverse() -> None:
    least = Power(300, 0.2).detectable
    assert least is not None
    assert Power(1, 0.2).needed(least) in (300, 301)


def test_more_comparisons_and_documents_that_go_together_take_more_questions() -> None:
    alone = Power(100, 0.25).needed(0.1)
    assert Power(100, 0.25, comparisons=6).needed(0.1) > alone
    assert Power(100, 0.25, design_effect=2.0).needed(0.1) == pytest.approx(2 * alone, abs=1)


def test_a_sentence_says_what_can_be_told() -> None:
    told = "These 100 questions can tell 15 points if two arms differ on 25% of them; 803 would tell 5."
    assert Power(100, 0.25).sentence == told
    assert Power(100, 0.25, is_observed=True).sentence == "These 100 questions can tell 15 points; 803 would tell 5."
    assert Power(3, 0.25).sentence == "These 3 questions tell nothing; 803 would tell 5 points."
    assert "2 points" not in Power(100_000, 0.25).sentence
    family = Power(100, 0.25, comparisons=54, is_observed=True)
    assert family.sentence.startswith(
        "These 100 questions can tell 15 points; 803 would tell 5. As one of 54 comparisons"
    )
    assert family.detectable is not None
    assert family.sentence.endswith(f"(Holm) at worst {-(-family.detectable // 0.01):.0f} points.")
    assert Power(11, 0.25, comparisons=54).sentence.endswith("at worst nothing.")


def test_after_a_run_what_was_seen_counts() -> None:
    pair = Pair("contains", "a", "b", [1.0] * 30 + [0.0] * 10 + [None], [1.0] * 20 + [0.0] * 20 + [1.0])
    found = observed_power(pair)
    assert found is not None
    assert (found.questions, found.is_observed) == (40, True)
    assert found.discordance == pytest.approx(11 / 42)
    assert found.design_effect == 1.0


def test_arms_that_never_differed_are_not_said_to_be_alike() -> None:
    found = observed_power(Pair("contains", "a", "b", [1.0] * 10, [1.0] * 10))
    assert found is not None
    assert found.discordance > 0.05


def test_documents_whose_questions_go_together_are_seen() -> None:
    first = [1.0 if i // 10 % 2 else 0.0 for i in range(40)]
    found = observed_power(Pair("contains", "a", "b", first, [0.0] * 40, [str(i // 10) for i in range(40)]))
    assert found is not None
    assert found.design_effect > 5


def test_without_scores_of_both_nothing_is_said() -> None:
    assert observed_power(Pair("contains", "a", "b", [None], [1.0])) is None
