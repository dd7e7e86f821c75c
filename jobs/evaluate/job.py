"""Evaluation as a job: ask every question of every arm, or take samples from elsewhere, and judge them.

In: a recipe, and the address of a running server where one is asked. Out: an `EvaluationReport`, and a folder that
holds everything. What a run that was interrupted has kept is neither asked nor judged again.
"""

import asyncio
import json
import re
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import httpx

from plait.chat_client import Sent, headers
from plait.documents.row_source import find_rows
from plait.evaluation.eval_set import read_questions
from plait.evaluation.gate import Gate
from plait.evaluation.given_samples import read_samples
from plait.evaluation.runs.run import Run, begun, earlier_runs, is_run, opened
from plait.evaluation.runs.trial import Trial
from plait.evaluation.statistics.power import ASSUMED_DISCORDANCE, Power
from plait.jobs.evaluate.asked_arm import served_arms
from plait.jobs.evaluate.asking import ask_missing
from plait.jobs.evaluate.costs import check_prices, with_costs
from plait.jobs.evaluate.judge_worth import JudgeWorth
from plait.jobs.evaluate.page.page import render
from plait.jobs.evaluate.report import EvaluationReport, JudgedTrial
from plait.jobs.evaluate.scoring import Again, Scores, check_measured, check_metrics, score_missing
from plait.recipes import EvalSetConfig, EvaluateRecipe, JudgeEndpoint, JudgingConfig, SamplesRecipe
from plait.whole_files import write_whole

REPORT, PAGE = "report.json", "evaluation.html"


def evaluate(recipe: EvaluateRecipe, base_url: str, folder: Path | None = None) -> EvaluationReport:
    """Ask all questions of all arms, and judge the answers.

    Args:
        folder: of the run; None: one below PLAIT_HOME/evaluations, named after the data.

    Raises:
        DataError: for a bad eval set.
        InvalidInput: when there is no such metric or judge, or a price or a gate is of nothing.
        ModelNotFound: for a model that the server does not have.
        Unavailable: when no server answers.
        Conflict: when the folder holds another run.
    """
    questions = read_questions(recipe.data, recipe.limit)
    _tell_of(recipe.data)
    check_metrics(recipe)
    check_prices(recipe.prices, recipe.models)
    check_measured([Gate.parse(text) for text in recipe.gates], recipe, recipe.models)
    asks = {
        "url": base_url,
        "models": recipe.models,
        "questions": sha256("".join(question.digest() for question in questions).encode()).hexdigest(),
        **recipe.model_dump(include={"data", "max_tokens", "temperature", "seed"}),
    }

    arms = len(set(recipe.models))
    if arms > 1:
        print(Power(len(questions), ASSUMED_DISCORDANCE, comparisons=arms * (arms - 1) // 2).sentence)
    again = Again(base_url, recipe.max_tokens)

    async def work(run: Run) -> tuple[list[Trial], Scores]:
        async with httpx.AsyncClient(headers=headers()) as client:
            asked = await served_arms(client, base_url, recipe.models)
            trials = await ask_missing(run, questions, asked, sent(recipe), recipe.concurrency)
        trials = with_costs(run, trials, recipe.prices)
        return trials, await score_missing(run, trials, recipe, recipe.concurrency, again)

    with begun(asks, _name(recipe.data), folder) as run:
        return _finished(run, recipe, *asyncio.run(work(run)))


def sent(recipe: EvalSetConfig) -> Sent:
    """How the answers of a recipe are drawn."""
    return Sent(recipe.max_tokens, recipe.temperature, recipe.seed if recipe.temperature else None)


def judge_samples(recipe: SamplesRecipe, folder: Path | None = None) -> EvaluationReport:
    """Judge samples that were answered before: those of a run, or those of a table. Nobody is asked.

    Raises:
        DataError: for a bad row.
        InvalidInput: when there is no such metric or judge, or the metric must ask who answered.
        Conflict: when the folder holds another run.
    """
    check_metrics(recipe)
    trials = _trials(recipe)
    arms = list(dict.fromkeys(trial.arm for trial in trials))
    check_prices(recipe.prices, arms)
    check_measured([Gate.parse(text) for text in recipe.gates], recipe, arms)
    asks = {"samples": recipe.samples, "trials": sha256("".join(trial.key for trial in trials).encode()).hexdigest()}

    async def score(run: Run) -> tuple[list[Trial], Scores]:
        kept = run.trials()
        for trial in trials:
            if trial.key not in kept:
                run.add_trial(trial)
        priced = with_costs(run, trials, recipe.prices)
        return priced, await score_missing(run, priced, recipe, recipe.concurrency)

    source = Path(recipe.samples)
    with begun(asks, _name(recipe.samples), folder) as run:
        return _finished(run, recipe, *asyncio.run(score(run)), source if is_run(source) else None)


def _trials(recipe: SamplesRecipe) -> list[Trial]:
    if not is_run(Path(recipe.samples)):
        trials = read_samples(recipe.samples, recipe.limit)
        _tell_of(recipe.samples)
        return trials
    kept = opened(Path(recipe.samples)).trials().values()
    arms = list(dict.fromkeys(trial.arm for trial in kept))
    limit = len(kept) if recipe.limit is None else recipe.limit
    ordered = sorted(kept, key=lambda trial: (arms.index(trial.arm), trial.number))
    return [trial for trial in ordered if trial.number < limit]


def _finished(
    run: Run, recipe: JudgingConfig, trials: Sequence[Trial], scores: Scores, source: Path | None = None
) -> EvaluationReport:
    """The report of a run, which it ends; `source`: the run that its trials are from."""
    report = report_of(run, recipe, trials, scores, source)
    write_whole(run.folder / REPORT, json.dumps(report.as_json(), indent=1, ensure_ascii=False, allow_nan=False))
    write_whole(run.folder / PAGE, render(report))
    run.finish([trial.key for trial in trials])
    return report


def report_of(
    run: Run, recipe: JudgingConfig, trials: Sequence[Trial], scores: Scores, source: Path | None = None
) -> EvaluationReport:
    """What a run found so far, with what is known of its judge; `source`: the run that its trials are from."""
    judged = tuple(JudgedTrial(trial, scores.by_trial[trial.key]) for trial in trials)
    metrics = tuple(dict.fromkeys(name for each in judged for name in each.scores))
    of_run = [run.folder] if source is None else [run.folder, source]
    of_data = [earlier for folder in of_run for earlier in earlier_runs(folder)]
    return EvaluationReport(
        trials=judged,
        metrics=metrics,
        worth=JudgeWorth.read(scores.judge, metrics, of_run, of_data),
        judge=scores.judge,
        inapplicable=scores.inapplicable,
        folder=run.folder,
        prices=recipe.prices,
        judge_price=recipe.judge.price if isinstance(recipe.judge, JudgeEndpoint) else None,
    )


def _tell_of(source: str) -> None:
    """Print what a reader of a source should know of it, as a guessed encoding."""
    for note in find_rows(source).notes():
        print(f"data: {note}")


def _name(source: str) -> str:
    """What a run is called after its data: the name of the file or folder, without what file systems dislike."""
    stem: Any = source.rstrip("/").rpartition("/")[2].partition(".")[0]
    return re.sub(r"[^\w-]+", "-", stem).strip("-")[:64] or "evaluation"
