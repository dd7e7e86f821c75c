"""The two sentences: true to the statistics, plain, and two."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from made_findings import ANSWERS, made_findings, made_recipe

from plait.jobs.compare.conclude import conclude
from plait.jobs.compare.findings import CHANGED, FORM, HELD_OUT, LEARNED, MULTI_HOP

Answered = Mapping[str, Mapping[str, str | Sequence[str]]]


def sentences(answers: Answered = ANSWERS, **options: Any) -> tuple[str, str]:
    found = conclude(made_findings(answers, **options)).sentences
    assert len(found) == 2
    for sentence in found:
        assert sentence[0].isupper()
        assert sentence.endswith(".")
        assert not re.search(r"[.!?] ", sentence)  # one sentence each
    return found


def right(share: int, of: int = 30) -> str:
    return "1" * share + "0" * (of - share)


def test_kinds_that_differ_are_told_apart() -> None:
    first, second = sentences()
    assert first.startswith("Retrieve for facts that changed after training (rag/base 90% right, lora 5%)")
    assert "and fine-tune for the form of the reply (lora 95% right, rag/base 0%)" in first
    assert "for facts of the training data and questions without an answer it is a tie" in first
    assert "use rag/lora, which is in a tie with rag/base" in second
    assert "230 tokens (base 30)" in second


def test_what_no_arm_is_right_at_is_no_tie() -> None:
    answers = {
        "base": {CHANGED: right(0), MULTI_HOP: right(0)},
        "rag/base": {CHANGED: right(30), MULTI_HOP: right(0)},
    }
    first, second = sentences(answers)
    assert first.startswith("Retrieve for facts that changed after training")
    assert first.endswith("; no arm is right on questions across two documents.")
    assert second.startswith("Use rag/base for all questions")
    nobody = {name: {LEARNED: right(0), CHANGED: right(0)} for name in answers}
    first, second = sentences(nobody)
    assert first == "No arm is right on any of 60 questions."
    assert second.startswith("Read some of the answers before anything is chosen")
    updated = {**nobody, "lora": nobody["base"], "lora updated": {LEARNED: right(0), CHANGED: right(30)}}
    recipe = made_recipe(changed={"documents": "new/", "train": "new.jsonl"})
    first, _ = sentences(updated, recipe=recipe)
    assert first.startswith("Fine-tune for facts that changed after training (lora updated 100% right")


def test_arms_that_are_each_best_at_something_are_no_open_question() -> None:
    answers = {
        "base": dict.fromkeys((CHANGED, FORM), right(0)),
        "lora": {CHANGED: right(0), FORM: right(30)},
        "rag/base": {CHANGED: right(30), FORM: right(0)},
    }
    first, second = sentences(answers)
    assert first.startswith("Retrieve for facts that changed")
    assert first.endswith("and fine-tune for the form of the reply (lora 100% right, rag/base 0%).")
    assert second.startswith("If one arm is to answer everything, use lora, which is in a tie with rag/base")


def test_both_is_said_only_where_it_beats_either_alone() -> None:
    kinds = (CHANGED, FORM)
    either = {
        "base": dict.fromkeys(kinds, right(0)),
        "lora": {CHANGED: right(0), FORM: right(30)},
        "rag/base": {CHANGED: right(30), FORM: right(0)},
    }
    first, second = sentences({**either, "rag/lora": dict.fromkeys(kinds, right(29))})
    assert first.startswith("Both retrieve and fine-tune (rag/lora 97% right")
    assert "retrieval helps with facts that changed after training (rag/base 100% right, lora 0%)" in first
    assert "fine-tuning helps with the form of the reply (lora 100% right, rag/base 0%)" in first
    assert second.startswith("Use rag/lora for all questions")
    first, _ = sentences({**either, "rag/lora": {CHANGED: right(29), FORM: right(0)}})
    assert "oth retrieve" not in first
    assert first.startswith("Retrieve for facts that changed after training")


@pytest.mark.parametrize(
    ("winner", "start"),
    [
        ("base", "Leave the model as it is, whatever is asked (base 100% right"),
        ("icl", "Put examples into the prompt, whatever is asked (icl 100% right"),
        ("lora", "Fine-tune, whatever is asked (lora 100% right, rag/base 0%)"),
        ("rag/base", "Retrieve, whatever is asked (rag/base 100% right, lora 0%)"),
        ("large", "Ask large, whatever is asked (large 100% right"),
    ],
)
def test_one_that_is_best_at_everything_is_named_first(winner: str, start: str) -> None:
    recipe = made_recipe(
        icl={"examples": "train.jsonl"}, endpoints={"large": {"model": "m", "base_url": "http://localhost/v1"}}
    )
    names = ("base", "icl", "lora", "rag/base", "large")
    answers = {name: dict.fromkeys((LEARNED, CHANGED), right(30 if name == winner else 0)) for name in names}
    first, second = sentences(answers, recipe=recipe)
    assert first.startswith(start)
    assert f"{'Keep' if winner == 'base' else 'Use'} {winner} for all questions" in second


def test_too_few_questions_are_said_with_how_many_would_do() -> None:
    answers = {
        "base": {HELD_OUT: right(2, 6), MULTI_HOP: right(3, 6)},
        "rag/base": {HELD_OUT: right(6, 6), MULTI_HOP: right(3, 6)},
    }
    first, second = sentences(answers)
    assert re.fullmatch(
        r"Not enough data: \d+ more questions about facts that nobody was trained on would settle it\.", first
    )
    assert second.startswith("Until more is known, use rag/base, which is in a tie with base")


def test_of_kinds_that_are_a_tie_it_is_said_what_would_settle_them() -> None:
    answers = {
        "base": {CHANGED: right(0), LEARNED: right(15), FORM: right(16)},
        "rag/base": {CHANGED: right(30), LEARNED: right(19), FORM: right(19)},
    }
    first, _ = sentences(answers)
    ties = r"; for facts of the training data and the form of the reply it is a tie, which \d+ more questions of them"
    assert re.search(ties, first)
    alike, _ = sentences({name: {**marks, FORM: right(16)} for name, marks in answers.items()})
    assert alike.endswith("it is a tie.")


def test_arms_that_answer_alike_are_a_tie_that_no_question_settles() -> None:
    first, second = sentences({"base": {LEARNED: right(10)}, "rag/base": {LEARNED: right(10)}})
    assert first.startswith("A tie")
    assert "more questions" in first
    assert "keep base" in second


def test_what_all_questions_together_show_is_said_where_no_kind_does() -> None:
    kinds = (LEARNED, HELD_OUT, CHANGED, MULTI_HOP)
    # Base is wrong on 5 of 20 questions, of every kind about other documents.
    base = {kind: "1" * 5 * place + "0" * 5 + "1" * 5 * (3 - place) for place, kind in enumerate(kinds)}
    first, _ = sentences({"base": base, "rag/base": dict.fromkeys(kinds, right(20, 20))})
    assert first.startswith("Retrieve, as all questions together show (rag/base 100% right, base 75%)")
    assert "it is a tie" in first


def test_the_second_sentence_has_price_break_even_freshness_and_forgetting() -> None:
    recipe = made_recipe(
        prices={"all": {"prompt": 10.0, "completion": 20.0}},
        hour_price=6.0,
        changed={"documents": "new/", "train": "new.jsonl"},
    )
    answers = {"base": {LEARNED: right(0)}, "lora": {LEARNED: right(30)}, "rag/base": {LEARNED: right(10)}}
    _, second = sentences(
        {**answers, "lora updated": {LEARNED: right(30)}},
        recipe=recipe,
        update_seconds=12.0,
        perplexity_after={"lora": 30.0},
    )
    assert "1,000 answers cost 0.4 (base 0.4)" in second
    assert "training took 10 min (1.00)" in second
    assert "what changes takes 60 s of training again" in second
    assert "but training made it forget" in second
    assert "1.5 times" in second
    _, grounded = sentences(
        {**answers, "rag/base": {LEARNED: right(30)}, "lora": {LEARNED: right(0)}}, recipe=recipe, update_seconds=12.0
    )
    assert "what changes is in its answers after 12 s" in grounded
    assert "forget" not in grounded
