"""Every two arms: what is surely better, what may be chance, and how many questions would tell."""

from collections.abc import Mapping, Sequence
from random import Random

import pytest
from made_findings import made_findings, made_recipe
from scipy.stats import binom

from plait.evaluation.statistics.binary import mcnemar_exact, paired_difference
from plait.jobs.compare.accuracy import accuracy_score, answers_of
from plait.jobs.compare.conclude import parts_of
from plait.jobs.compare.findings import CHANGED, FORM, LEARNED
from plait.jobs.compare.pairs import pairs_of
from plait.jobs.compare.verdict import PairVerdict
from plait.recipes import CompareRecipe

_DRAWS = 100
_TWO_TUNED = made_recipe(tuned={name: {"data": {"train": "train.jsonl"}} for name in ("lora", "raft")})

Answered = Mapping[str, Mapping[str, str | Sequence[str]]]


def pairs(
    answers: Answered,
    recipe: CompareRecipe | None = None,
    questions_of_a_document: int = 1,
) -> list[PairVerdict]:
    found = made_findings(answers, recipe=recipe, questions_of_a_document=questions_of_a_document)
    return pairs_of(parts_of(answers_of(found, accuracy_score("contains"))), 0.05)


def test_right_or_wrong_answers_are_compared_by_mcnemar_with_the_interval_of_agresti_and_min() -> None:
    (pair,) = pairs({"base": {LEARNED: "0" * 9 + "1" * 11}, "lora": {LEARNED: "1" * 18 + "00"}})
    first, second = [False] * 9 + [True] * 11, [True] * 18 + [False] * 2
    expected = paired_difference(first, second)
    assert (pair.kind, pair.first, pair.second) == ("", "base", "lora")
    assert (pair.value, pair.low, pair.high) == pytest.approx((expected.value, expected.low, expected.high))
    assert pair.p_value == mcnemar_exact(first, second)


def test_p_values_are_corrected_for_the_pairs_of_a_kind() -> None:
    two = pairs({"base": {LEARNED: "0" * 8, CHANGED: "0" * 8}, "lora": {LEARNED: "1" * 8, CHANGED: "0" * 8}})
    assert [pair.kind for pair in two] == [LEARNED, CHANGED, ""]
    assert (two[0].p_value, two[1].p_value) == (2 / 2**8, 1.0)
    three = pairs({"base": {LEARNED: "0" * 8}, "lora": {LEARNED: "1" * 8}, "rag/base": {LEARNED: "1" * 8}})
    # Of three tests, two of the least p-value are corrected for three; the one that sees no difference stays at 1.
    assert [pair.p_value for pair in three] == pytest.approx([3 * 2 / 2**8, 3 * 2 / 2**8, 1.0])


def test_that_an_arm_is_not_the_best_takes_less_than_that_every_pair_differs() -> None:
    arms = {name: {LEARNED: "0" * 9} for name in ("base", "lora", "raft", "rag/base", "rag/lora")}
    found = pairs({**arms, "rag/raft": {LEARNED: "1" * 9}}, _TWO_TUNED)
    of_best = [pair for pair in found if pair.second == "rag/raft"]
    # 2 in 2**9 is less than a fifth of 0.05 (five others), and more than a fifteenth (fifteen pairs).
    assert [(pair.not_best, pair.differ, pair.needed) for pair in of_best] == [(name, False, None) for name in arms]
    assert {pair.not_best for pair in found if pair not in of_best} == {None}


def test_arms_that_differ_are_not_both_the_best() -> None:
    marks = {"base": "0" * 6 + "1" * 34, "lora": "1" * 40, "rag/base": "0" * 20 + "1" * 20, "rag/lora": "0" * 40}
    found = pairs({name: {LEARNED: each} for name, each in marks.items()})
    near = next(pair for pair in found if (pair.first, pair.second) == ("base", "lora"))
    # Holm's method alone, once the others are out of its way, would compare 2 in 2**6 with 0.05.
    assert (near.differ, near.not_best) == (False, None)
    assert near.p_value == pytest.approx(3 * 2 / 2**6)
    assert all(pair.not_best for pair in found if pair.differ)


def test_an_arm_as_good_as_all_others_is_seldom_said_not_to_be_the_best() -> None:
    random = Random(0)
    wrong = 0
    for _ in range(_DRAWS):
        marks = {name: "".join(random.choices("0111", k=24)) for name in ("base", "lora", "rag/base", "rag/lora")}
        found = pairs({name: {LEARNED: each} for name, each in marks.items()})
        wrong += any(pair.not_best == "base" for pair in found)
    assert 0 < wrong <= binom.isf(0.001, _DRAWS, 0.05)


def test_over_all_every_kind_has_the_same_weight() -> None:
    found = pairs({"base": {LEARNED: "0" * 40, CHANGED: "1" * 10}, "lora": {LEARNED: "1" * 40, CHANGED: "0" * 10}})
    assert [pair.value for pair in found] == [-1.0, 1.0, 0.0]
    assert [pair.differ for pair in found] == [True, True, False]


def test_answers_that_failed_leave_open_which_arm_is_better() -> None:
    said = {"base": {LEARNED: "0" * 20}, "lora": {LEARNED: "1" * 20}}
    failed = {"base": {LEARNED: "0" * 20}, "lora": {LEARNED: "1" * 12 + "!" * 8}}
    mostly = {"base": {LEARNED: "1" * 8 + "0" * 12}, "lora": {LEARNED: "!" * 12 + "1" * 8}}
    (sure,), (less,), (open_,) = pairs(said), pairs(failed), pairs(mostly)
    assert sure.p_value < less.p_value < 0.05
    assert less.value == -1.0
    assert less.high > sure.high
    assert (open_.p_value, open_.needed) == (1.0, None)
    assert open_.low < 0 < open_.high


def test_few_documents_tell_little_however_many_questions_are_about_each() -> None:
    answers = {"base": {LEARNED: "0" * 20}, "lora": {LEARNED: "1" * 20}}
    (by_question,), (by_document,) = pairs(answers), pairs(answers, questions_of_a_document=5)
    assert by_question.differ
    assert not by_document.differ
    # The least p-value of n documents is 2 in 2**n: it takes 6 to be below 0.05, two more of five questions.
    assert by_document.needed is not None
    assert by_document.needed >= 10
    (alone,) = pairs(answers, questions_of_a_document=20)
    assert alone.differ  # one document is all that is asked about


def test_what_it_would_take_is_said_and_holds() -> None:
    (few,) = pairs({"base": {LEARNED: "0" * 7 + "1" * 13}, "lora": {LEARNED: "01" + "1" * 6 + "0" * 3 + "1" * 9}})
    assert not few.differ
    assert few.needed is not None
    times = 1 + -(-few.needed // 20)
    more = {
        "base": {LEARNED: ("0" * 7 + "1" * 13) * times},
        "lora": {LEARNED: ("01" + "1" * 6 + "0" * 3 + "1" * 9) * times},
    }
    assert pairs(more)[0].differ
    (alike,) = pairs({"base": {LEARNED: "10"}, "lora": {LEARNED: "10"}})
    assert (alike.value, alike.p_value, alike.needed) == (0.0, 1.0, None)


def test_seeds_that_differ_make_a_difference_less_sure_and_no_question_helps() -> None:
    recipe = made_recipe(seeds=2)
    base = {LEARNED: "0" * 14 + "1" * 6}
    steady: Answered = {"base": base, "lora": {LEARNED: ("1" * 17 + "000",) * 2}}
    uneven: Answered = {"base": base, "lora": {LEARNED: ("1" * 20, "1" * 14 + "0" * 6)}}
    (sure,), (unsure,) = pairs(steady, recipe), pairs(uneven, recipe)
    assert sure.value == unsure.value == pytest.approx(-0.55)
    assert sure.differ
    assert not unsure.differ
    assert unsure.low < sure.low < sure.high < unsure.high
    assert unsure.needed is None


def test_updated_arms_are_compared_at_what_they_were_asked_and_not_over_all() -> None:
    recipe = made_recipe(changed={"documents": "new/", "train": "new.jsonl"})
    found = pairs(
        {
            "base": {LEARNED: "0" * 10, CHANGED: "0" * 10, FORM: "0" * 10},
            "lora": {LEARNED: "1" * 10, CHANGED: "0" * 10, FORM: "1" * 10},
            "lora updated": {LEARNED: "1" * 10, CHANGED: "1" * 10},
        },
        recipe,
    )
    asked = {(pair.kind, pair.second) for pair in found if pair.second == "lora updated"}
    assert asked == {(LEARNED, "lora updated"), (CHANGED, "lora updated")}
    changed = next(pair for pair in found if (pair.kind, pair.first, pair.second) == (CHANGED, "lora", "lora updated"))
    assert changed.differ
