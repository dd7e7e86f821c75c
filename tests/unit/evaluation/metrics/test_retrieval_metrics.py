"""Whether what holds the answer was found, by hand and by ir-measures."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plait.evaluation.metrics.retrieval import Ranking, RetrievalMetric, measured
from plait.evaluation.sample import Sample, SamplePassage


def sample(*sources: str, right: tuple[str, ...] = ("right.md",)) -> Sample:
    return Sample("Why?", "", tuple(SamplePassage("text", source) for source in sources), sources=right)


@pytest.mark.parametrize(
    ("found", "right", "recall", "precision", "mrr", "ndcg"),
    [
        (["right.md"], ["right.md"], 1, 1, 1, 1),
        (["a.md", "right.md"], ["right.md"], 1, 1 / 2, 1 / 2, 1 / math.log2(3)),
        (["a.md", "a.md", "right.md"], ["right.md"], 1, 1 / 2, 1 / 2, 1 / math.log2(3)),  # a document counts once
        (["right.md", "right.md"], ["right.md", "b.md"], 1 / 2, 1, 1, 1),
        (["a.md", "b.md"], ["right.md"], 0, 0, 0, 0),
        ([], ["right.md"], 0, 0, 0, 0),  # looked for, and not found
    ],
)
async def test_documents_are_measured_at_the_place_of_their_first_passage(
    found: list[str], right: list[str], recall: float, precision: float, mrr: float, ndcg: float
) -> None:
    scored = [
        (await RetrievalMetric(measure, measure).score(sample(*found, right=tuple(right)))).value
        for measure in ("R", "P", "RR", "nDCG")
    ]
    assert scored == pytest.approx([recall, precision, mrr, ndcg])


async def test_chunks_are_measured_where_the_references_name_them() -> None:
    passages = (SamplePassage("", "a.md", "a-1"), SamplePassage("", "a.md", "a-2"))
    asked = Sample("Why?", "", passages, sources=("a.md",), reference_passages=(SamplePassage("", "a.md", "a-2"),))
    scored = await RetrievalMetric("retrieval_mrr", "RR").score(asked)
    assert scored.value == 0.5
    assert [finding.holds for finding in scored.findings] == [False, True]


def test_questions_of_which_nothing_was_found_count_as_0_in_their_place() -> None:
    rankings = [Ranking.of([], ["a"]), Ranking.of(["b", "a"], ["a"]), Ranking.of([], ["a"])]
    assert measured("RR@10", rankings) == [0, 0.5, 0]
    assert measured("RR@1", rankings) == [0, 0, 0]
    assert measured("RR@10", []) == measured("R@5", [])[:0] == []


names = st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=12)


@given(names, names, st.integers(1, 10))
def test_measures_are_those_of_their_definitions(found: list[str], right: list[str], k: int) -> None:
    ranking = Ranking.of(found, right)
    hits = [name in ranking.right for name in ranking.found][:k]
    gain = sum(hit / math.log2(place + 2) for place, hit in enumerate(hits))
    ideal = sum(1 / math.log2(place + 2) for place in range(min(k, len(ranking.right))))
    expected = {
        "R": sum(hits) / len(ranking.right),
        "P": sum(hits) / k,
        "RR": next((1 / place for place, hit in enumerate(hits, start=1) if hit), 0),
        "nDCG": gain / ideal,
    }
    for measure, number in expected.items():
        assert measured(f"{measure}@{k}", [ranking]) == [pytest.approx(number, abs=1e-4)]
