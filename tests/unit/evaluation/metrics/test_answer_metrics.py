"""Metrics that hold the reply against the expected answers, and what every metric does."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from judging_models import WordEmbedding

from plait.errors import InvalidInput
from plait.evaluation.judges.lexical import LexicalJudge
from plait.evaluation.metrics.metric import Instruments, Need, lacking, metric, metric_names
from plait.evaluation.metrics.token_f1 import token_f1
from plait.evaluation.sample import Sample, SampleCitation, SamplePassage

INSTRUMENTS = Instruments(LexicalJudge(), WordEmbedding())
FULL = Sample(
    "Which version of Ray is installed?",
    "The installed version of Ray is 2.60.0.",
    passages=(SamplePassage("The installed version of Ray is 2.60.0.", "ray.md"), SamplePassage("Bananas.", "b.md")),
    citations=(SampleCitation(0, 39, 0),),
    answers=("2.60.0",),
    sources=("ray.md",),
    reference_passages=(SamplePassage("The installed version of Ray is 2.60.0.", "ray.md"),),
    unanswerable=False,
    pattern="The .+ of Ray is .+",
)


async def value(name: str, reply: str, *answers: str) -> float | None:
    return (await metric(name, INSTRUMENTS).score(Sample("Which version?", reply, answers=answers))).value


@pytest.mark.parametrize(
    ("reply", "answers", "exact", "f1"),
    [
        ("2.60.0", ["2.60.0"], 1, 1),
        ("The 2.60.0!", ["2.60.0"], 1, 1),
        ("version 2.60.0", ["2.60.0"], 0, 2 / 3),
        ("x b", ["b c", "x b d"], 0, 4 / 5),
        ("x", ["y"], 0, 0),
        ("", ["y"], 0, 0),
        ("the", ["the"], 1, 1),  # nothing is left of both
        ("no no yes", ["no"], 0, 1 / 2),
        ("Äpfel, Öl", ["äpfel öl"], 1, 1),
    ],
)
async def test_exact_match_and_token_f1_are_squads(reply: str, answers: list[str], exact: float, f1: float) -> None:
    assert await value("exact_match", reply, *answers) == exact
    assert await value("token_f1", reply, *answers) == pytest.approx(f1)


@pytest.mark.parametrize(
    ("reply", "pattern", "expected"),
    [
        ("The port of hub is 80.", r"The port of .+ is .+\.", 1),
        ("\n The port of hub is 80. \n", r"The port of .+ is .+\.", 1),
        ("I think: The port of hub is 80.", r"The port of .+ is .+\.", 0),
        ("The port of hub is 80. Yes.\nIt is.", r"The port of .+ is .+\.", 0),
        ("Die Größe ist 3", r"(?i)die größe ist \d", 1),
        ("b", "a|b|cd", 1),
        ("bd", "a|b|cd", 0),
        ("", ".+", 0),
        ("a" * 50_000, "(a|aa)+b", 0),  # would take years by trying each way
    ],
)
async def test_form_is_whether_the_whole_reply_matches(reply: str, pattern: str, expected: float) -> None:
    assert (await metric("form", INSTRUMENTS).score(Sample("Which port?", reply, pattern=pattern))).value == expected


@given(st.text(), st.text())
def test_token_f1_is_a_share_and_the_same_both_ways(one: str, other: str) -> None:
    assert 0 <= token_f1(one, other) <= 1
    assert token_f1(one, other) == token_f1(other, one)
    assert token_f1(one, one) == 1


@pytest.mark.parametrize(
    ("reply", "answers", "expected"),
    [
        ("the cat sat on the mat", ["the cat was on the mat"], 5 / 6),  # Lin 2004: subsequence of 5, 6 words each
        ("police killed the gunman", ["police kill the gunman"], 3 / 4),
        ("x", ["y", "x"], 1),
        ("", ["y"], 0),
        ("東京 は 大きい", ["東京 は 小さい"], 2 / 3),
    ],
)
async def test_rouge_l_is_the_longest_common_subsequence_in_any_script(
    reply: str, answers: list[str], expected: float
) -> None:
    assert await value("rouge_l", reply, *answers) == pytest.approx(expected)


async def test_semantic_similarity_is_the_nearest_answers_cosine() -> None:
    assert await value("semantic_similarity", "a b", "x y", "b a") == pytest.approx(1)
    assert await value("semantic_similarity", "a b", "a c") == pytest.approx(0.5)
    assert await value("semantic_similarity", "", "a") is None
    with pytest.raises(InvalidInput, match="needs an embedding model"):
        metric("semantic_similarity", Instruments(LexicalJudge()))


async def test_contains_says_what_it_found() -> None:
    scored = await metric("contains", INSTRUMENTS).score(FULL)
    assert (scored.value, scored.reason) == (1, "The reply has '2.60.0'.")


@pytest.mark.parametrize("name", sorted(set(metric_names()) - {"counterfactual_citations"}))
@pytest.mark.parametrize("reply", ["", "I don't know.", FULL.reply, "Bananas [1]. 12 monkeys say: why?", "…", "🦜" * 9])
async def test_any_reply_has_a_score_or_a_reason(name: str, reply: str) -> None:
    sample = Sample(**FULL.__dict__ | {"reply": reply, "citations": (SampleCitation(0, max(1, len(reply)), 0),)})
    scored = await metric(name, INSTRUMENTS).score(sample)
    assert scored.reason if scored.value is None else not math.isnan(scored.value)
    assert metric(name, INSTRUMENTS).name == name


def test_what_a_sample_lacks_is_told_from_what_cannot_be_said() -> None:
    bare = Sample("Why?", "Because.")
    assert lacking(metric("faithfulness", INSTRUMENTS).needs, bare) == [Need.PASSAGES]
    assert lacking(metric("abstention", INSTRUMENTS).needs, bare) == [Need.UNANSWERABLE]
    assert lacking(metric("answer_relevance", INSTRUMENTS).needs, bare) == []
    assert all(lacking(metric(name, INSTRUMENTS).needs, FULL) == [] for name in ("abstention", "retrieval_mrr"))


def test_a_metric_that_is_not_there_is_said_with_its_neighbour() -> None:
    with pytest.raises(InvalidInput, match=r"no metric 'faithfullness'\. Did you mean 'faithfulness'"):
        metric("faithfullness", INSTRUMENTS)
