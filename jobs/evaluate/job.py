"""Evaluation as a job: ask every question of every model, judge the answers.

In: an `EvaluateRecipe` and the address of a running server. Out: an `EvaluationReport`. The server is asked over HTTP
as any client would, so what is measured is what users get.
"""

import asyncio
from collections.abc import Callable
from functools import partial

import httpx
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from plait.chat_client import ask_async, headers, models_async
from plait.documents.row_source import find_rows
from plait.errors import ModelNotFound, did_you_mean
from plait.evaluation.answers import is_correct
from plait.jobs.evaluate.questions import Question, read_questions
from plait.jobs.evaluate.report import EvaluationReport, Judged
from plait.recipes import EvaluateRecipe


def evaluate(recipe: EvaluateRecipe, base_url: str) -> EvaluationReport:
    """Ask all questions of all models.

    Raises:
        DataError: for a bad eval set.
        ModelNotFound: for a model that the server does not have.
        Unavailable: when no server answers.
    """
    questions = read_questions(recipe.data)[: recipe.limit]
    for note in find_rows(recipe.data).notes():
        print(f"data: {note}")
    return asyncio.run(_evaluate(recipe, questions, base_url))


async def _evaluate(recipe: EvaluateRecipe, questions: list[Question], base_url: str) -> EvaluationReport:
    async with httpx.AsyncClient(headers=headers()) as client:
        await _check_models(client, base_url, recipe.models)
        console = Console()
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        answers = {}
        with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
            for model in recipe.models:  # one after another: latencies of one are not those of a mixture
                task = progress.add_task(f"ask {model}", total=len(questions))
                on_answer = partial(progress.advance, task)
                answers[model] = await _ask_all(client, recipe, questions, base_url, model, on_answer)
                if not console.is_terminal:
                    right = sum(answer.is_correct for answer in answers[model])
                    print(f"evaluate {model}: {right} of {len(questions)} right", flush=True)
    return EvaluationReport(questions=questions, answers=answers)


async def _check_models(client: httpx.AsyncClient, base_url: str, models: list[str]) -> None:
    """Find out before the first question that a model is missing."""
    known = await models_async(client, base_url)
    for model in models:
        if model not in known:
            raise ModelNotFound(f"The server at {base_url} has no model '{model}'.", did_you_mean(model, known))


async def _ask_all(
    client: httpx.AsyncClient,
    recipe: EvaluateRecipe,
    questions: list[Question],
    base_url: str,
    model: str,
    on_answer: Callable[[], None],
) -> list[Judged]:
    """Answers of one model, in the order of the questions, `recipe.concurrency` under way at once."""
    places = asyncio.Semaphore(recipe.concurrency)

    async def judged(question: Question) -> Judged:
        async with places:
            answer = await ask_async(client, base_url, model, question.question, recipe.max_tokens)
        on_answer()
        return Judged(
            reply=answer.text,
            is_correct=is_correct(answer.text, question.answer),
            latency_ms=answer.total_ms,
            cited=answer.citations[0].source if answer.citations else None,
            prompt_tokens=answer.prompt_tokens,
            completion_tokens=answer.completion_tokens,
        )

    return list(await asyncio.gather(*map(judged, questions)))
