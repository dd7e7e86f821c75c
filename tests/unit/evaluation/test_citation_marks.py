"""Marks in a reply name passages, for the words of their sentence."""

import pytest

from plait.evaluation.citation_marks import marked_citations


@pytest.mark.parametrize(
    ("reply", "cited"),
    [
        ("It is red.", []),
        ("It is red [1].", [("It is red [1]", 0)]),
        ("It is red. [2] It is 2.5 m long. [1]", [("It is red. [2]", 1), ("It is 2.5 m long. [1]", 0)]),
        ("So. It is red [1][2], and long [2].", [("It is red [1]", 0), ("It is red [1][2]", 1), (", and long [2]", 1)]),
        ("First\nsecond [1]", [("second [1]", 0)]),
        ("Nobody has [3] or [0].", []),
        ("[1]", [("[1]", 0)]),
    ],
)
def test_a_mark_is_about_the_words_before_it(reply: str, cited: list[tuple[str, int]]) -> None:
    found = [(reply[each.start : each.end], each.passage) for each in marked_citations(reply, passages=2)]
    assert found == cited
