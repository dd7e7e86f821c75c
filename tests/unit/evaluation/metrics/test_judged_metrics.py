"""Metrics over verdicts: the definitions, and what becomes of verdicts that are missing."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pytest

from plait.evaluation.judges.judge import Claims, Verdict, Verdicts
from plait.evaluation.metrics.metric import Instruments, metric
from plait.evaluation.sample import Sample, SamplePassage
from plait.evaluation.score import JudgeUse, Score

ONE_CALL = JudgeUse(1, 100, 10)
LOST = Verdict(None, "The judge's reply was cut.")


@dataclass
class TableJudge:
    """Says what it is told to of each text; claims are what is between bars."""

    holds: Mapping[str, bool | None] = field(default_factory=dict)
    contradicted: Sequence[str] = ()
    problem: str = ""
    name: str = "table"
    asked: list[tuple[Sequence[str], Sequence[str]]] = field(default_factory=list)

    def _verdict(self, text: str) -> Verdict:
        holds = self.holds.get(text, False)
        return LOST if holds is None else Verdict(holds, "", 0 if holds else None, text in self.contradicted)

    async def claims(self, question: str, reply: str) -> Claims:
        texts = () if self.problem else tuple(filter(None, reply.split("|")))
        return Claims(texts, ONE_CALL, self.problem)

    async def support(self, claims: Sequence[str], passages: Sequence[str]) -> Verdicts:
        self.asked.append((claims, passages))
        return Verdicts(tuple(self._verdict(claim) for claim in claims), ONE_CALL)

    async def useful(self, question: str, answers: Sequence[str], passages: Sequence[str]) -> Verdicts:
        return Verdicts(tuple(self._verdict(passage) for passage in passages), ONE_CALL)

    async def answers_the_question(self, question: str, reply: str) -> Verdicts:
        return Verdicts((self._verdict(reply),), ONE_CALL)

    async def declines(self, question: str, reply: str) -> Verdicts:
        return Verdicts((self._verdict(reply),), ONE_CALL)


def sample(reply: str, *answers: str, passages: Sequence[str] = ("passage",), unanswerable: bool = False) -> Sample:
    given = tuple(SamplePassage(text) for text in passages)
    return Sample("Why?", reply, given, answers=answers, unanswerable=unanswerable)


async def scored(name: str, judge: TableJudge, asked: Sample) -> Score:
    return await metric(name, Instruments(judge)).score(asked)


async def test_faithfulness_is_the_share_of_supported_claims_with_its_findings() -> None:
    found = await scored("faithfulness", TableJudge({"a": True, "b": False, "c": True}), sample("a|b|c"))
    assert found.value == pytest.approx(2 / 3)
    assert [(each.text, each.holds, each.passage) for each in found.findings] == [
        ("a", True, 0),
        ("b", False, None),
        ("c", True, 0),
    ]
    assert found.use == JudgeUse(2, 200, 20)


async def test_one_missing_verdict_of_five_is_no_score_and_says_so() -> None:
    holds = {"a": True, "b": True, "c": None, "d": True, "e": True}
    found = await scored("faithfulness", TableJudge(holds), sample("a|b|c|d|e"))
    assert found.value is None
    assert found.reason == "1 of 5 claims have no verdict. The judge's reply was cut."
    assert [each.holds for each in found.findings] == [True, True, None, True, True]


@pytest.mark.parametrize("name", ["faithfulness", "noise_sensitivity"])
async def test_a_reply_that_claims_nothing_is_faithful_and_an_empty_one_is_not_judged(name: str) -> None:
    declined = await scored(name, TableJudge(), sample("|", "answer"))
    assert (declined.value, declined.reason) == (1, "The reply claims nothing.")
    empty = await scored(name, TableJudge(), sample(" ", "answer"))
    assert (empty.value, empty.reason) == (None, "The reply is empty.")


@pytest.mark.parametrize("name", ["faithfulness", "noise_sensitivity", "correctness", "context_recall"])
async def test_claims_that_cannot_be_read_are_no_score_and_cost_what_they_cost(name: str) -> None:
    found = await scored(name, TableJudge(problem="No list."), sample("a", "b"))
    assert (found.value, found.reason) == (None, "No list.")
    assert found.use.calls >= 1


@pytest.mark.parametrize(
    ("useful", "expected"),
    [
        ([True], 1),
        ([False], 0),
        ([True, False, False], 1),
        ([False, True], 1 / 2),
        ([True, False, True], (1 + 2 / 3) / 2),
        ([False, False, True, True], (1 / 3 + 2 / 4) / 2),
    ],
)
async def test_context_precision_is_average_precision(useful: list[bool], expected: float) -> None:
    passages = [f"p{number}" for number in range(len(useful))]
    judge = TableJudge(dict(zip(passages, useful, strict=True)))
    found = await scored("context_precision", judge, sample("a", "b", passages=passages))
    assert found.value == pytest.approx(expected)
    assert [each.passage for each in found.findings] == list(range(len(useful)))


async def test_context_recall_and_correctness_hold_the_facts_of_the_answer_against_passages_and_reply() -> None:
    judge = TableJudge({"a": True, "b": False})
    asked = sample("a reply of more than five words", "a|b", passages=["p", "q"])
    assert (await scored("context_recall", judge, asked)).value == 0.5
    assert (await scored("correctness", judge, asked)).value == 0.5
    assert judge.asked == [(["a", "b"], ["p", "q"]), (["a", "b"], [asked.reply])]


async def test_a_short_reply_is_held_against_with_its_question() -> None:
    judge = TableJudge({"a": True})
    await scored("correctness", judge, sample("2.60.0", "a"))
    assert judge.asked[0][1] == ['The answer to "Why?" is "2.60.0".']


@pytest.mark.parametrize(
    ("holds", "contradicted", "expected"),
    [
        ({"a": True, "b": True}, [], 1),
        ({"a": True, "b": False}, ["b"], 1 / 3),
        ({"a": False, "b": False}, ["a", "b"], 0),
        ({"a": False, "b": False}, [], 0),
    ],
)
async def test_a_fact_that_is_contradicted_costs_more_than_one_that_is_missing(
    holds: dict[str, bool], contradicted: list[str], expected: float
) -> None:
    found = await scored("correctness", TableJudge(holds, contradicted), sample("a reply", "a|b"))
    assert found.value == pytest.approx(expected)
    assert f"{len(contradicted)} contradicted" in found.reason


@pytest.mark.parametrize(
    ("holds", "expected"),
    [
        ({"a": False, "b": True}, 1),  # the second answer is met
        ({"a": None, "b": True}, 1),  # in full, whatever the first would be
        ({"a": None, "b": False}, None),
        ({"a": False, "b": False}, 0),
    ],
)
async def test_the_best_of_several_answers_counts(holds: dict[str, bool | None], expected: float | None) -> None:
    judge = TableJudge(holds)
    assert (await scored("correctness", judge, sample("a reply", "a", "b"))).value == expected
    assert (await scored("context_recall", judge, sample("a reply", "a", "b"))).value == expected
    assert len(judge.asked) == 2  # one request for the facts of all answers


async def test_an_answer_that_states_nothing_and_an_empty_reply_are_told_apart() -> None:
    assert (await scored("correctness", TableJudge(), sample("a", "|"))).reason == "The expected answer states nothing."
    assert (await scored("correctness", TableJudge(), sample("", "a"))).value == 0


async def test_answer_relevance_is_one_verdict() -> None:
    for holds in (True, False, None):
        found = await scored("answer_relevance", TableJudge({"a": holds}), sample("a"))
        assert found.value == (None if holds is None else float(holds))


@pytest.mark.parametrize(
    ("declines", "unanswerable", "expected", "reason"),
    [
        (True, True, 1, "A right refusal"),
        (False, True, 0, "A wrong answer"),
        (True, False, 0, "A wrong refusal"),
        (False, False, 1, "A right attempt"),
        (None, True, None, "1 of 1 replies"),
    ],
)
async def test_abstention_is_right_where_there_is_no_answer(
    declines: bool | None, unanswerable: bool, expected: float | None, reason: str
) -> None:
    found = await scored("abstention", TableJudge({"a": declines}), sample("a", unanswerable=unanswerable))
    assert found.value == expected
    assert found.reason.startswith(reason)


@dataclass
class TwoSidedJudge(TableJudge):
    """Says other things of passages than of the truth."""

    from_passages: Mapping[str, bool | None] = field(default_factory=dict)

    async def support(self, claims: Sequence[str], passages: Sequence[str]) -> Verdicts:
        self.asked.append((claims, passages))
        holds = self.from_passages if "passage" in passages else self.holds
        texts = [holds.get(claim, False) for claim in claims]
        return Verdicts(tuple(LOST if text is None else Verdict(text) for text in texts), ONE_CALL)


@pytest.mark.parametrize(
    ("right", "from_passages", "expected"),
    [
        ({"a": True, "b": True}, {}, 1),
        ({"a": True, "b": False}, {"b": True}, 1 / 2),  # a passage misled
        ({"a": True, "b": False}, {"b": False}, 1),  # the model's own error
        ({"a": False, "b": False}, {"a": True, "b": True}, 0),
        ({"a": True, "b": None}, {}, None),
        ({"a": True, "b": False}, {"b": None}, None),
    ],
)
async def test_noise_sensitivity_counts_wrong_claims_from_passages(
    right: dict[str, bool | None], from_passages: dict[str, bool | None], expected: float | None
) -> None:
    judge = TwoSidedJudge(right, from_passages=from_passages)
    found = await scored("noise_sensitivity", judge, sample("a|b", "an answer of more than five words"))
    assert found.value == expected
    assert judge.asked[0] == (("a", "b"), ["an answer of more than five words"])
