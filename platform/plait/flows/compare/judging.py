"""Judge the answers of a comparison by the metrics of its recipe, those that say what is right always among them.

In: trials. Out: an evaluation. What was judged before is not judged again.
"""

import asyncio
from collections.abc import Sequence

from plait.errors import DataError, InvalidInput
from plait.evaluation.eval_set import Question
from plait.evaluation.judges.lexical import LexicalJudge
from plait.evaluation.metrics.metric import Instruments, Need, metric
from plait.evaluation.runs.run import Run
from plait.evaluation.runs.trial import Trial
from plait.jobs.compare.arms import Arm
from plait.jobs.evaluate.costs import check_prices, with_costs
from plait.jobs.evaluate.job import report_of
from plait.jobs.evaluate.report import EvaluationReport
from plait.jobs.evaluate.scoring import DEFAULT_METRICS, check_metrics, score_missing
from plait.models.encoders.when_used import LoadedWhenUsed
from plait.recipes import CompareRecipe
from plait.recipes.prices import ALL_ARMS, TokenPrice

_RIGHT = ("abstention", "form")
"""What is right where a question has no answer, or asks for a form."""


def check_judging(recipe: CompareRecipe, questions: Sequence[Question], arms: Sequence[Arm]) -> None:
    """Find out before anything is trained that answers cannot be judged.

    Raises:
        InvalidInput: when there is no such metric, one lacks an instrument, `accuracy` cannot be said of every arm, or
            a price is of nobody.
        DataError: when no question says what is right.
    """
    judging = _judging(recipe, arms)
    check_metrics(judging)
    instruments = Instruments(LexicalJudge(), LoadedWhenUsed(recipe.embedding))
    needs = {name: metric(name, instruments).needs for name in judging.metrics or ()}
    if found_only := sorted(needs[recipe.accuracy] & {Need.PASSAGES, Need.CITATIONS}):
        raise InvalidInput(
            f"accuracy={recipe.accuracy} needs {found_only[0]}, which arms without retrieval have not.",
            "Take one that compares replies with answers, as contains, exact_match or token_f1.",
        )
    check_prices(recipe.prices, [arm.name for arm in arms])
    if not any(question.answers or question.unanswerable or question.pattern for question in questions):
        raise DataError(f"No question of '{recipe.data}' says what is right.", "Add answers.")


def judged(recipe: CompareRecipe, arms: Sequence[Arm], run: Run, trials: Sequence[Trial]) -> EvaluationReport:
    """Every trial with its scores.

    Raises:
        PlaitError: when a judge cannot be asked.
    """
    judging = _judging(recipe, arms)
    priced = with_costs(run, trials, judging.prices)
    scores = asyncio.run(score_missing(run, priced, judging, recipe.concurrency))
    return report_of(run, judging, priced, scores)


def _judging(recipe: CompareRecipe, arms: Sequence[Arm]) -> CompareRecipe:
    """The recipe with all metrics, and with prices by the name of trials."""
    metrics = list(dict.fromkeys([recipe.accuracy, *(recipe.metrics or DEFAULT_METRICS), *_RIGHT]))
    prices = {ALL_ARMS: recipe.prices[ALL_ARMS]} if ALL_ARMS in recipe.prices else {}
    prices |= {run: price for arm in arms if (price := _price(recipe, arm)) is not None for run in arm.runs}
    return recipe.model_copy(update={"metrics": metrics, "prices": prices})


def _price(recipe: CompareRecipe, arm: Arm) -> TokenPrice | None:
    own = recipe.endpoints[arm.name].price if arm.kind == "endpoint" else None
    return recipe.prices.get(arm.name, own)
