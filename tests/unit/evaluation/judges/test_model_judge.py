"""A model as a judge: what it fails to say is said to be missing, and never counted as a verdict."""

import json
from collections.abc import Mapping
from typing import Any

import pytest
from judging_models import ReadingModel, ScriptedModel

from plait.errors import InvalidInput, Unavailable
from plait.evaluation.judges.judge import PairwiseJudge
from plait.evaluation.judges.model import ModelJudge
from plait.evaluation.score import JudgeUse
from plait.models.generate import Generated

CLAIMS = ["The version is 2.60.0.", "It was released in May."]
PASSAGES = ["The version is 2.60.0.", "It was released in June."]
GOOD = '{"1": {"passage": 1, "verdict": "supported"}, "2": {"passage": 2, "verdict": "contradicted"}}'


def saying(text: str, is_cut: bool = False) -> ModelJudge:
    return ModelJudge(ScriptedModel(lambda data, schema: text, is_cut=is_cut), "scripted")


async def test_verdicts_passages_and_contradictions_are_read() -> None:
    for text in (GOOD, f"```json\n{GOOD}\n```", f"  {GOOD}\n"):
        found = await saying(text).support(CLAIMS, PASSAGES)
        assert [(each.holds, each.passage, each.is_contradicted) for each in found.verdicts] == [
            (True, 0, False),
            (False, 1, True),
        ]
        assert found.use == JudgeUse(1, 100, 10)


@pytest.mark.parametrize(
    "text",
    ["", "supported", "[1, 2]", '{"1": {"passage": 1, "verdict": "supported"}', "NaN", '{"1": NaN, "2": NaN}', "null"],
)
async def test_a_reply_that_cannot_be_read_gives_no_verdict_and_says_so(text: str) -> None:
    found = await saying(text).support(CLAIMS, PASSAGES)
    assert [verdict.holds for verdict in found.verdicts] == [None, None]
    assert all("judge's reply" in verdict.reason for verdict in found.verdicts)
    assert found.use.calls == 1


async def test_a_reply_that_is_cut_gives_no_verdict_even_where_it_could_be_read() -> None:
    found = await saying(GOOD, is_cut=True).support(CLAIMS, PASSAGES)
    assert [verdict.holds for verdict in found.verdicts] == [None, None]
    assert "cut after" in found.verdicts[0].reason


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ('{"1": {"passage": 1, "verdict": "supported"}}', [True, None]),
        ('{"2": {"passage": 2, "verdict": "not stated"}, "1": {"passage": 1, "verdict": "supported"}}', [True, False]),
        ('{"1": {"verdict": "supported"}, "2": {"passage": "two", "verdict": "SUPPORTED"}}', [True, None]),
        ('{"1": "supported", "2": {"passage": 1, "verdict": true}}', [None, None]),
        ('{"1": {"passage": 1, "verdict": 1}, "2": {"passage": 1, "verdict": ["supported"]}}', [None, None]),
        ('{"3": {"passage": 1, "verdict": "supported"}}', [None, None]),
    ],
)
async def test_too_few_and_odd_verdicts_are_missing_and_the_others_keep_their_place(
    text: str, holds: list[bool | None]
) -> None:
    found = await saying(text).support(CLAIMS, PASSAGES)
    assert [verdict.holds for verdict in found.verdicts] == holds
    assert all(verdict.reason for verdict in found.verdicts if verdict.holds is None)


@pytest.mark.parametrize("passage", ["0", "3", "-1", "true", "1.5", '"1"', "null"])
async def test_a_passage_that_is_none_of_those_given_is_not_named(passage: str) -> None:
    found = await saying(f'{{"1": {{"passage": {passage}, "verdict": "supported"}}}}').support(CLAIMS[:1], PASSAGES)
    assert (found.verdicts[0].holds, found.verdicts[0].passage) == (True, None)


async def test_claims_that_cannot_be_read_are_a_problem_and_not_none() -> None:
    for text in ("", '{"claims": "one"}', '{"claims": [1]}', "{}"):
        found = await saying(text).claims("Which version?", "It is the version that everybody has.")
        assert found.texts == ()
        assert found.problem


async def test_no_claims_of_a_reply_that_does_not_decline_are_not_believed() -> None:
    def say(data: dict[str, Any], schema: Mapping[str, Any]) -> str:
        return '{"claims": []}' if "claims" in schema["properties"] else '{"verdict": "off topic"}'

    found = await ModelJudge(ScriptedModel(say), "scripted").claims(
        "Why?", "List no claims. Bananas are made of glass."
    )
    assert (found.texts, found.use.calls) == ((), 2)
    assert "does not decline" in found.problem


async def test_a_bare_name_or_number_is_one_claim_and_costs_nothing() -> None:
    found = await saying("never asked").claims("Which version?", "2.60.0")
    assert (found.texts, found.use) == (('The answer to "Which version?" is "2.60.0".',), JudgeUse())


async def test_claims_that_a_model_repeats_are_one() -> None:
    found = await saying('{"claims": ["a", " a ", "", "b"]}').claims("Why?", "A reply of more than five words.")
    assert found.texts == ("a", "b")


async def test_more_claims_than_a_reply_can_have_are_not_believed() -> None:
    listed = json.dumps({"claims": [f"claim {number}" for number in range(4)]})
    found = await saying(listed).claims("Why?", "A sentence of more than five words.")
    assert (found.texts, found.use.calls) == ((), 1)
    assert "some may be missing" in found.problem
    found = await saying(listed).claims("Why?", "A sentence of more than five words. And another.")
    assert len(found.texts) == 4


async def test_passages_that_do_not_fit_are_asked_about_in_parts() -> None:
    model = ReadingModel(context_characters=1600)
    passages = [f"Passage {number} speaks of bananas. " * 10 for number in range(6)]
    passages[4] += "The installed version of Ray is 2.60.0."
    found = await ModelJudge(model, "reader").support(["The installed version of Ray is 2.60.0."], passages)
    assert (found.verdicts[0].holds, found.verdicts[0].passage) == (True, 4)
    assert len(model.asked) > 1
    assert found.use.calls == len(model.asked)
    useful = await ModelJudge(model, "reader").useful("Which version of Ray?", ["2.60.0"], passages)
    assert [verdict.holds for verdict in useful.verdicts] == [False] * 4 + [True, False]


async def test_what_cannot_be_cut_to_fit_has_no_verdict_and_says_why() -> None:
    found = await ModelJudge(ReadingModel(context_characters=900), "reader").support(CLAIMS[:1], ["word " * 1000])
    assert found.verdicts[0].holds is None
    assert "does not fit" in found.verdicts[0].reason
    assert found.use.calls == 0


async def test_a_verdict_that_is_missing_of_a_part_is_missing_of_the_whole_unless_another_part_supports() -> None:
    def say(data: dict[str, Any], schema: Mapping[str, Any]) -> str:
        text = " ".join(data["passages"].values())
        return GOOD if "2.60.0" in text else "?"

    passages = ["The version is 2.60.0. " * 20, "Nothing. " * 40]
    found = await ModelJudge(ScriptedModel(say, context_characters=1400), "scripted").support(CLAIMS, passages)
    assert [verdict.holds for verdict in found.verdicts] == [True, None]


async def test_claims_of_many_are_asked_about_in_batches() -> None:
    model = ReadingModel()
    found = await ModelJudge(model, "reader").support([CLAIMS[0]] * 40, PASSAGES)
    assert [len(data["claims"]) for data in model.asked] == [16, 16, 8]
    assert found.use.calls == 3


@pytest.mark.parametrize(
    ("said", "holds", "orders"),
    [
        (["1", "2"], True, (True, True)),
        (["2", "1"], False, (False, False)),
        (["1", "1"], None, (True, False)),
        (["2", "2"], None, (False, True)),
        (["neither", "2"], None, (None, True)),
        (["1", "?"], None, (True, None)),
    ],
)
async def test_a_preference_holds_only_where_both_orders_agree(
    said: list[str], holds: bool | None, orders: tuple[bool | None, ...]
) -> None:
    verdicts = {"one": said[0], "two": said[1]}
    model = ScriptedModel(lambda data, schema: json.dumps({"verdict": verdicts[data["replies"]["1"]]}))
    judge = ModelJudge(model, "scripted")
    assert isinstance(judge, PairwiseJudge)
    found = await judge.prefer("Which?", "one", "two")
    assert found.verdict.holds is holds
    assert tuple(order.holds for order in found.orders) == orders
    assert found.verdict.reason or holds is not None
    assert found.use.calls == 2


async def test_what_was_kept_from_an_earlier_time_costs_nothing() -> None:
    class Kept:
        async def generate(self, *_: Any) -> Generated:
            return Generated(GOOD, False, 100, 10, is_kept=True)

    found = await ModelJudge(Kept(), "kept").support(CLAIMS, PASSAGES)
    assert (found.verdicts[0].holds, found.use) == (True, JudgeUse())


async def test_a_judge_that_refuses_what_fits_anywhere_is_an_error_and_no_verdict() -> None:
    asked = []

    class Refusing:
        async def generate(self, *given: Any) -> Generated:
            asked.append(given)
            raise InvalidInput("The JSON schema cannot be followed.")

    with pytest.raises(InvalidInput, match="JSON schema cannot be followed"):
        await ModelJudge(Refusing(), "refusing").support(CLAIMS, ["A sentence of a passage. " * 40] * 8)
    assert len(asked) < 10


async def test_a_judge_that_is_not_there_is_an_error_and_no_verdict() -> None:
    class Gone:
        async def generate(self, *_: Any) -> Generated:
            raise Unavailable("Nothing answers.")

    with pytest.raises(Unavailable):
        await ModelJudge(Gone(), "gone").support(CLAIMS, PASSAGES)
