"""The page in a browser: it fits a phone and a screen, no label covers another, and it asks for nothing."""

from dataclasses import replace
from itertools import combinations
from pathlib import Path

from made_findings import ANSWERS, made_findings, made_recipe
from pages import measured

from plait.jobs.compare.conclude import conclude
from plait.jobs.compare.findings import LEARNED, Findings
from plait.jobs.compare.page.page import render

WIDTHS = (400, 1000)
LONG = "support-of-customers-in-german-and-french"


def test_the_page_fits_a_phone_and_a_screen_and_asks_for_nothing(tmp_path: Path) -> None:
    findings = _findings()
    found = measured(render(findings, conclude(findings)), WIDTHS, tmp_path)
    for width in WIDTHS:
        of_width = found[width]
        assert of_width["overflow"] == 0, of_width
        assert of_width["heading"] == "Fine-tune, retrieve, or both?"
        assert of_width["bar"] > 20
        assert of_width["requests"] == 0
        (plot,) = of_width["plots"]  # one of the two sizes is shown
        assert plot["width"] > 340
        assert len(plot["labels"]) == 4
        assert not [pair for pair in combinations(plot["labels"], 2) if _overlap(*pair)]


def _findings() -> Findings:
    """With names as long as they may be, two arms at one point, and a word without end where people write."""
    word = "unbroken" * 40
    recipe = made_recipe(tuned={LONG: {"data": {"train": "train.jsonl"}}}, changed={"documents": "new/"})
    answers = {arm.replace("lora", LONG): of_arm for arm, of_arm in ANSWERS.items()}
    answers[f"rag/{LONG}"] = answers["rag/base"]  # at one point of the plot
    findings = made_findings(answers, recipe=recipe, update_seconds=4.0, questions_by=word)
    trials = [
        replace(
            judged,
            trial=replace(judged.trial, sample=replace(judged.trial.sample, question=word, reply=word, kind=word)),
        )
        if judged.trial.sample.kind == LEARNED
        else judged
        for judged in findings.evaluation.trials
    ]
    evaluation = replace(findings.evaluation, trials=trials)
    return replace(findings, evaluation=evaluation, identity={word: word}, command=word)


def _overlap(first: list[float], second: list[float]) -> bool:
    return (
        min(first[2], second[2]) > max(first[0], second[0]) and min(first[3], second[3]) - max(first[1], second[1]) > 3
    )
