"""A metric applies where a sample has what it needs; finding nothing is not the same as not looking."""

from plait.evaluation.metrics.metric import Need, lacking
from plait.evaluation.sample import Sample, SamplePassage


def test_a_search_that_found_nothing_is_measured() -> None:
    needs = frozenset({Need.ANSWERS, Need.PASSAGES, Need.UNANSWERABLE})
    assert lacking(needs, Sample("q", "r")) == ["answers", "passages", "unanswerable"]
    assert lacking(needs, Sample("q", "r", is_grounded=True, unanswerable=False)) == ["answers"]
    assert lacking(needs, Sample("q", "r", (SamplePassage("p"),), answers=("a",), unanswerable=True)) == []
