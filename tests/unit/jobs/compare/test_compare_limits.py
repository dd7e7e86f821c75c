"""What a comparison cannot tell is said, and nothing else is."""

import re
from typing import Any

import pytest
from made_findings import ANSWERS, made_findings, made_recipe

from plait.jobs.compare.accuracy import accuracy_score, answers_of
from plait.jobs.compare.findings import CHANGED, HELD_OUT, KINDS, LEARNED, MULTI_HOP, UNANSWERABLE
from plait.jobs.compare.limits import caveats, untold
from plait.jobs.evaluate.judge_worth import JudgeWorth


def of(answers: Any = ANSWERS, **options: Any) -> list[str]:
    found = made_findings(answers, **options)
    return caveats(found, answers_of(found, accuracy_score("contains")))


def test_kinds_that_an_eval_set_lacks_or_hardly_has_are_named_with_what_they_tell() -> None:
    found = untold(made_findings({"base": {LEARNED: "1" * 5, HELD_OUT: "1", CHANGED: "1" * 4}}))
    assert found == [
        "There is only 1 question about facts that nobody was trained on: what arms know beyond their training is"
        " hardly told.",
        "There are only 4 questions about facts that changed after training: how an adapter ages is hardly told.",
        "There is no question without an answer in the documents: how often arms make one up is not told.",
        "There is no question across two documents: which arm puts facts together is not told.",
        "There is no question about the form of the reply: what training teaches of it is not told.",
    ]
    assert untold(made_findings({"base": dict.fromkeys(KINDS, "1" * 5)})) == []


def test_a_comparison_with_nothing_amiss_has_no_caveat() -> None:
    answers = {
        name: {kind: (each, each) for kind, each in marks.items()} if name.endswith("lora") else marks
        for name, marks in ANSWERS.items()
    }
    assert of(answers, recipe=made_recipe(seeds=2)) == []


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, r"lora was trained once"),
        (
            {"perplexity_after": {"lora": 31.0}},
            r"lora has forgotten.*31\.0 after training, 20\.0 before \(1\.55 times\)",
        ),
        ({"questions_by": "templates"}, r"made by templates: .*arXiv:2508\.11758.*favour search by words"),
        ({"questions_by": "gpt"}, r"written by gpt: .*arXiv:2508\.11758"),
        ({"questions_of_a_document": 20}, r"All questions are about one document"),
        (
            {"worth": JudgeWorth({"abstention": "judge not calibrated"})},
            r"abstention .*\(lexical\): judge not calibrated",
        ),
    ],
)
def test_what_to_keep_in_mind_is_said(options: dict[str, Any], expected: str) -> None:
    assert any(re.search(expected, sentence) for sentence in of(**options))


def test_answers_that_failed_and_those_that_cannot_be_judged_are_counted() -> None:
    found = of({"base": {LEARNED: "1" * 6 + "!!??", UNANSWERABLE: "1" * 5}, "rag/base": {LEARNED: "1" * 10}})
    assert any(sentence.startswith("2 of 15 answers of base failed") for sentence in found)
    assert any("base is right cannot be said of 2 of 15 questions" in sentence for sentence in found)
    assert not any("rag/base" in sentence for sentence in found)


def test_what_further_training_forgets_is_said_of_it() -> None:
    recipe = made_recipe(changed={"documents": "new/", "train": "new.jsonl"})
    answers = {"lora": {LEARNED: "1"}, "lora updated": {LEARNED: "1"}}
    found = of(answers, recipe=recipe, perplexity_after={"lora updated": 40.0})
    assert [sentence.partition(":")[0] for sentence in found if "forgotten" in sentence] == [
        "lora updated has forgotten some of what the base model knew"
    ]


def test_a_judge_is_named_only_of_what_it_judges_here() -> None:
    worth = JudgeWorth({"abstention": "judge not calibrated"})
    assert not any("judge" in sentence for sentence in of({"base": {LEARNED: "1" * 5}}, worth=worth))


def test_a_kind_about_one_document_is_named() -> None:
    found = of({"base": {LEARNED: "1" * 10, MULTI_HOP: "1" * 5}}, questions_of_a_document=5)
    assert [sentence for sentence in found if "one document" in sentence] == [
        "All questions of the kind multi_hop are about one document: how far others would differ is not in its"
        " intervals."
    ]
