"""Citations: what supports which sentence, what is superfluous, and what an answer would be without it."""

from collections.abc import Sequence

import pytest

from plait.errors import InvalidInput
from plait.evaluation.judges.judge import Verdict, Verdicts
from plait.evaluation.judges.lexical import LexicalJudge
from plait.evaluation.metrics.citations import citing_sentences
from plait.evaluation.metrics.metric import Instruments, metric
from plait.evaluation.sample import Sample, SampleCitation, SamplePassage
from plait.evaluation.score import JudgeUse, Score

RAY, PYTHON, OTHER = "Ray has version 2.60.0.", "It needs Python 3.11.", "Bananas are yellow."


def sample(reply: str, passages: Sequence[str] = (RAY, PYTHON, OTHER)) -> Sample:
    """Marks `[1]` of the reply are its citations."""
    found = [
        SampleCitation(place, place + 3, int(reply[place + 1]) - 1)
        for place in range(len(reply) - 2)
        if reply[place] == "[" and reply[place + 2] == "]"
    ]
    return Sample("Which version?", reply, tuple(SamplePassage(text) for text in passages), tuple(found))


async def scored(name: str, asked: Sample, instruments: Instruments | None = None) -> Score:
    return await metric(name, instruments or Instruments(LexicalJudge())).score(asked)


def test_sentences_that_state_something_cite_what_their_characters_do() -> None:
    found = citing_sentences(
        sample(f"See below: Is it new? {RAY[:-1]} [1][2]. {PYTHON} [2] I don't know more. {OTHER}")
    )
    assert [(each.text, each.passages) for each in found[-3:]] == [(RAY, (0, 1)), (PYTHON, (1,)), (OTHER, ())]
    assert "I don't know more." not in [each.text for each in found]


def test_a_span_of_words_cites_for_every_sentence_that_it_touches() -> None:
    asked = Sample("?", f"{RAY} {PYTHON}", (SamplePassage(RAY),), (SampleCitation(4, len(RAY) + 5, 0),))
    assert [each.passages for each in citing_sentences(asked)] == [(0,), (0,)]


@pytest.mark.parametrize(
    ("reply", "recall", "precision"),
    [
        (f"{RAY} [1]", 1, 1),
        (f"{RAY} [2]", 0, 0),  # cites the wrong passage
        (f"{RAY}", 0, None),  # cites nothing
        (f"{RAY} [1] {PYTHON}", 1 / 2, 1),
        (f"{RAY} [1] {PYTHON} [1]", 1 / 2, 1 / 2),
        (f"{RAY[:-1]} [1][3].", 1, 1 / 2),  # the third is superfluous
        (f"{RAY[:-1]} [2][3].", 0, 0),
        ("I don't know.", 1, None),
        ("", None, None),
    ],
)
async def test_recall_is_of_sentences_and_precision_of_citations(
    reply: str, recall: float | None, precision: float | None
) -> None:
    assert (await scored("citation_recall", sample(reply))).value == recall
    assert (await scored("citation_precision", sample(reply))).value == precision


async def test_findings_name_the_passage_of_the_sample() -> None:
    found = await scored("citation_recall", sample(f"{PYTHON} [2] {RAY}"))
    assert [(each.passage, each.reason) for each in found.findings] == [(1, ""), (None, "The sentence cites nothing.")]


class JointJudge(LexicalJudge):
    """Says that a sentence follows only from both of two passages."""

    name = "joint"

    async def support(self, claims: Sequence[str], passages: Sequence[str]) -> Verdicts:
        return Verdicts(tuple(Verdict(len(passages) == 2) for _ in claims), JudgeUse(1))


async def test_citations_that_support_only_together_are_both_needed() -> None:
    found = await scored("citation_precision", sample("Both say so [1][2]."), Instruments(JointJudge()))
    assert found.value == 1
    assert found.use.calls == 3  # together; each alone, which is the other without it, in one request


class Answering:
    """Answers from the passage that has the version; from its memory, where it is told to."""

    def __init__(self, memory: str, forgets: bool = False) -> None:
        self._memory, self._forgets = memory, forgets
        self.asked: list[list[str]] = []

    async def reply(self, question: str, passages: Sequence[SamplePassage]) -> str:
        self.asked.append([passage.text for passage in passages])
        if self._forgets:
            return "It is a bird."
        return RAY if any("2.60.0" in passage.text for passage in passages) else self._memory


async def counterfactual(asked: Sample, ask: Answering) -> Score:
    return await scored("counterfactual_citations", asked, Instruments(LexicalJudge(), ask=ask))


async def test_a_citation_without_which_the_answer_changes_is_needed() -> None:
    ask = Answering("I don't know.")
    found = await counterfactual(sample(f"{RAY} [1]"), ask)
    assert (found.value, found.findings[0].passage) == (1, 0)
    assert ask.asked == [[RAY, PYTHON, OTHER], [PYTHON, OTHER]]


async def test_a_citation_without_which_the_answer_stays_is_an_afterthought() -> None:
    for memory in (RAY, "Version 2.60.0 is what Ray has!"):
        found = await counterfactual(sample(f"{RAY} [1]"), Answering(memory))
        assert found.value == 0
        assert "afterthought" in found.findings[0].reason


async def test_what_says_the_same_is_left_out_with_it() -> None:
    twice = [RAY, OTHER, "Indeed, Ray has version 2.60.0 now."]
    ask = Answering("I don't know.")
    found = await counterfactual(sample(f"{RAY} [1]", twice), ask)
    assert found.value == 1
    assert ask.asked[-1] == [OTHER]
    assert "and 1 that say the same" in found.findings[0].reason


class VagueJudge(LexicalJudge):
    """Names no passage that supports."""

    async def support(self, claims: Sequence[str], passages: Sequence[str]) -> Verdicts:
        said = await super().support(claims, passages)
        return Verdicts(tuple(Verdict(each.holds) for each in said.verdicts), said.use)


async def test_where_the_judge_names_no_passage_an_answer_that_stays_says_nothing() -> None:
    vague = Instruments(VagueJudge(), ask=Answering("I don't know."))
    twice = sample(f"{RAY} [1]", [RAY, OTHER, f"Indeed, {RAY}"])
    found = await scored("counterfactual_citations", twice, vague)
    assert found.value is None
    assert "cannot say which other passages" in found.findings[0].reason
    assert (await scored("counterfactual_citations", sample(f"{RAY} [1]", [RAY, OTHER]), vague)).value == 1


async def test_a_model_that_does_not_repeat_its_answer_cannot_be_judged() -> None:
    found = await counterfactual(sample(f"{RAY} [1]"), Answering("", forgets=True))
    assert found.value is None
    assert "does not repeat" in found.reason


async def test_each_cited_passage_is_asked_about_once() -> None:
    ask = Answering("I don't know.")
    found = await counterfactual(sample(f"{RAY} [1] {PYTHON} [2] {RAY} [1]"), ask)
    assert found.value is None  # the reply has more than the model says again
    found = await counterfactual(sample(f"{RAY} [1] {RAY} [2]"), ask)
    assert [each.passage for each in found.findings] == [0, 1]
    assert found.value == 1


async def test_samples_from_elsewhere_have_no_model_to_ask() -> None:
    with pytest.raises(InvalidInput, match="asks the model again"):
        metric("counterfactual_citations", Instruments(LexicalJudge()))
