"""Findings of a comparison that nobody ran: who was right on which questions, and what that took, as a test says it."""

from collections.abc import Mapping, Sequence
from typing import Any

from plait.evaluation.runs.trial import Trial
from plait.evaluation.sample import Sample, SamplePassage
from plait.evaluation.score import Score, unsaid
from plait.jobs.compare.arms import Arm, arms_of
from plait.jobs.compare.findings import CHANGED, FORM, KINDS, LEARNED, UNANSWERABLE, Findings, Indexing, Training
from plait.jobs.evaluate.judge_worth import JudgeWorth
from plait.jobs.evaluate.report import EvaluationReport, JudgedTrial
from plait.recipes import CompareRecipe

Marks = str
"""A letter for each question of a kind: 1 right, 0 wrong, ? cannot be said, ! failed."""

ANSWERS: Mapping[str, Mapping[str, Marks]] = {
    "base": {LEARNED: "0" * 19 + "1", CHANGED: "0" * 20, UNANSWERABLE: "0" * 16 + "1111", FORM: "0" * 20},
    "lora": {LEARNED: "1" * 15 + "0" * 5, CHANGED: "1" + "0" * 19, UNANSWERABLE: "0" * 20, FORM: "1" * 19 + "0"},
    "rag/base": {LEARNED: "1" * 18 + "00", CHANGED: "1" * 18 + "00", UNANSWERABLE: "0" * 10 + "1" * 10, FORM: "0" * 20},
    "rag/lora": {LEARNED: "1" * 18 + "00", CHANGED: "1" * 16 + "0000", UNANSWERABLE: "0" * 20, FORM: "1" * 19 + "0"},
}
"""Four arms on 20 questions of each of four kinds, which differ as one would think."""


def made_recipe(**fields: Any) -> CompareRecipe:
    """A recipe with one tuned arm, `lora`; fields of its own replace those."""
    usual = {
        "name": "support",
        "data": "eval.jsonl",
        "ingest": {"sources": ["handbook/"], "collection": "support"},
        "tuned": {"lora": {"data": {"train": "train.jsonl"}}},
    }
    return CompareRecipe.model_validate(usual | fields)


def made_findings(
    answers: Mapping[str, Mapping[str, Marks | Sequence[Marks]]] = ANSWERS,
    *,
    recipe: CompareRecipe | None = None,
    questions_of_a_document: int = 1,
    tokens: Mapping[str, tuple[int, int]] | None = None,
    latency_ms: Mapping[str, float] | None = None,
    train_seconds: Mapping[str, float] | None = None,
    perplexity_after: Mapping[str, float] | None = None,
    index_seconds: float | None = 30.0,
    update_seconds: float | None = None,
    questions_by: str | None = None,
    worth: JudgeWorth | None = None,
) -> Findings:
    """Findings of the arms that `answers` names, which the recipe has.

    Question i of every kind is about document i // `questions_of_a_document`. Answers cost what the recipe's prices
    say; each seed of a training takes a second longer than the one before.

    Args:
        answers: by arm and kind; of several seeds, one for each.
        tokens: read and written for an answer, by arm; others take 20 and 10, with passages 220 and 10.
        latency_ms: of an answer, by arm; others take 100.
        train_seconds: by tuned arm, and `NAME updated` of its further training; others take 600 and 60.
        perplexity_after: of general text, by the same names; others 21 where it was 20.
        update_seconds: until the changed documents could be found; None: there is no update.
    """
    recipe = recipe or made_recipe()
    arms = [arm for arm in arms_of(recipe) if arm.name in answers]
    assert {arm.name for arm in arms} == answers.keys(), "an arm of the answers is not one of the recipe"
    trials = [
        judged
        for arm in arms
        for seed, run in enumerate(arm.runs)
        for judged in _answered(
            run,
            {kind: marks if isinstance(marks, str) else marks[seed] for kind, marks in answers[arm.name].items()},
            recipe,
            arm,
            questions_of_a_document,
            (tokens or {}).get(arm.name, (220 if arm.retrieves else 20, 10)),
            (latency_ms or {}).get(arm.name, 100.0),
        )
    ]
    tuned = dict.fromkeys((arm.trained, arm.is_updated) for arm in arms if arm.trained)
    trainings = [
        Training(
            arm,
            seed,
            is_updated,
            f"{recipe.name}-{arm}:{1 + 2 * seed + is_updated}",
            seed + (train_seconds or {}).get(f"{arm} updated" if is_updated else arm, 60.0 if is_updated else 600.0),
            20.0,
            (perplexity_after or {}).get(f"{arm} updated" if is_updated else arm, 21.0),
        )
        for arm, is_updated in tuned
        for seed in range(recipe.seeds)
    ]
    return Findings(
        recipe=recipe,
        arms=arms,
        evaluation=EvaluationReport(
            trials,
            metrics=tuple(dict.fromkeys(metric for judged in trials for metric in judged.scores)),
            judge="lexical",
            worth=worth or JudgeWorth(),
            prices=recipe.prices,
        ),
        trainings=trainings,
        indexing=Indexing(40, 200, index_seconds),
        update=None if update_seconds is None else Indexing(4, 20, update_seconds),
        questions_by=questions_by,
        identity={"plait": "0.0.0", "seed": str(recipe.seed)},
        command="plait compare compare.yaml",
    )


def _answered(
    run: str,
    answers: Mapping[str, Marks],
    recipe: CompareRecipe,
    arm: Arm,
    questions_of_a_document: int,
    tokens: tuple[int, int],
    latency_ms: float,
) -> list[JudgedTrial]:
    price = recipe.prices.get(arm.name, recipe.prices.get("all"))
    numbers = {kind: place for place, kind in enumerate(dict.fromkeys((*KINDS, *answers)))}
    return [
        _judged(
            Trial(
                key=f"{run}/{kind}/{index}",
                question_key=f"{kind}/{index}",
                arm=run,
                number=1000 * numbers[kind] + index,
                conversation=(),
                sample=Sample(
                    question=f"What is fact {index} of the kind {kind}?",
                    reply={"1": "It is 7.", "0": "I do not know."}.get(mark, ""),
                    passages=(SamplePassage(f"Fact {index} is 7.", f"{index}.md"),) if arm.retrieves else (),
                    is_grounded=arm.retrieves,
                    answers=() if kind in (UNANSWERABLE, FORM) else ("7",),
                    pattern="It is .+" if kind == FORM else None,
                    unanswerable=kind == UNANSWERABLE,
                    kind=kind,
                    group=f"{index // questions_of_a_document}.md",
                ),
                error="The server is gone." if mark == "!" else "",
                timings_ms={} if mark == "!" else {"total": latency_ms},
                prompt_tokens=None if mark == "!" else tokens[0],
                completion_tokens=None if mark == "!" else tokens[1],
                cost=None if mark == "!" or price is None else price.cost(*tokens),
            ),
            {FORM: "form", UNANSWERABLE: "abstention"}.get(kind, recipe.accuracy),
            mark,
        )
        for kind, marks in answers.items()
        for index, mark in enumerate(marks)
    ]


def _judged(trial: Trial, metric: str, mark: str) -> JudgedTrial:
    score = {"1": Score(1.0), "0": Score(0.0), "?": unsaid("The judge cannot be read.")}.get(mark)
    scores = {metric: score or unsaid("It was not answered.")}
    if trial.sample.is_grounded and score is not None:
        scores["faithfulness"] = Score(1.0 if mark == "1" else 0.5)
    return JudgedTrial(trial, scores)
