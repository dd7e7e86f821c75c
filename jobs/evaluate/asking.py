"""Ask every question of every arm, as any client would: over HTTP, so what is measured is what users get.

In: an eval set, a recipe, a run and the address of a server. Out: a trial for each question and arm. What the run has
already is not asked again. It does not judge.
"""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from hashlib import sha256

import httpx

from plait.chat_client import ChatAnswer, Sent, ask_async, headers, models_async
from plait.errors import (
    Forbidden,
    ModelNotFound,
    Overloaded,
    PlaitError,
    Unauthorized,
    Unavailable,
    did_you_mean,
)
from plait.evaluation.citation_marks import marked_citations
from plait.evaluation.eval_set import Question
from plait.evaluation.runs.run import Run
from plait.evaluation.runs.trial import Trial
from plait.evaluation.sample import Sample, SampleCitation, SamplePassage
from plait.jobs.evaluate.keeping import in_turn, kept
from plait.jobs.evaluate.progress import shown
from plait.recipes import EvaluateRecipe

_OF_ALL = (Unavailable, Unauthorized, Forbidden, ModelNotFound, Overloaded)
"""What a server says of every question, whichever it is asked: nothing is gained by asking on."""


async def ask_missing(run: Run, questions: Sequence[Question], recipe: EvaluateRecipe, base_url: str) -> list[Trial]:
    """Trials of every arm, one arm after the other, each in the order of the questions.

    A question that the server cannot answer by itself (it is too long, say) is a trial with an error; it is asked again
    by a run that goes on.

    Raises:
        ModelNotFound: for a model that the server does not have, before anything is asked.
        PlaitError: what the server says of every question: that it is not there, or that it has too much to do.
    """
    how = Sent(recipe.max_tokens, recipe.temperature, recipe.seed if recipe.temperature else None)
    before = run.trials()
    trials: list[Trial] = []
    async with httpx.AsyncClient(headers=headers()) as client:
        weights = await _weights(client, base_url, recipe.models)
        # Arms share the server one after another: latencies of one are not those of a mixture.
        for arm in dict.fromkeys(recipe.models):
            planned = _planned(questions, arm, weights[arm], how)
            of_arm = [before.get(trial.key, trial) for trial in planned]
            trials += await _ask(client, base_url, run, arm, of_arm, how, recipe.concurrency)
    return trials


async def _ask(
    client: httpx.AsyncClient, base_url: str, run: Run, arm: str, trials: Sequence[Trial], how: Sent, at_once: int
) -> list[Trial]:
    """The trials of an arm, those that have no reply asked."""
    done = {trial.key: trial for trial in trials if trial.asked_at is not None and not trial.error}
    missing = [trial for trial in trials if trial.key not in done]
    with shown(f"ask {arm}", len(trials), len(done)) as advance:

        async def ask(trial: Trial) -> None:
            done[trial.key] = await _answered(client, base_url, trial, how)
            run.add_trial(done[trial.key])
            advance()

        async with kept(run):
            await in_turn(ask, missing, at_once)
    return [done[trial.key] for trial in trials]


async def _weights(client: httpx.AsyncClient, base_url: str, models: Sequence[str]) -> dict[str, str]:
    """Where the weights of each model are from. Finds out before the first question that one is missing."""
    known = await models_async(client, base_url)
    for model in models:
        if model not in known:
            raise ModelNotFound(f"The server at {base_url} has no model '{model}'.", did_you_mean(model, known))
    return known


def _planned(questions: Sequence[Question], arm: str, weights: str, how: Sent) -> list[Trial]:
    """What is to be asked of an arm: trials without a reply."""
    seen: Counter[str] = Counter()
    trials = []
    for number, question in enumerate(questions):
        digest = question.digest()[:32]
        question_key = f"{digest}-{seen[digest]}"
        seen[digest] += 1
        told = json.dumps([question_key, arm, weights, how.max_tokens, how.temperature, how.seed])
        trials.append(
            Trial(
                key=sha256(told.encode()).hexdigest(),
                question_key=question_key,
                arm=arm,
                number=number,
                conversation=question.conversation,
                sample=question.sample(""),
                max_tokens=how.max_tokens,
                temperature=how.temperature,
                seed=how.seed,
            )
        )
    return trials


async def _answered(client: httpx.AsyncClient, base_url: str, trial: Trial, how: Sent) -> Trial:
    conversation = [{"role": message.role, "content": message.content} for message in trial.conversation]
    asked_at = datetime.now(UTC)
    try:
        answer = await ask_async(client, base_url, trial.arm, conversation, how)
    except PlaitError as error:
        if isinstance(error, _OF_ALL):
            raise
        # What needs passages applies to it, too: it is submitted, and cannot be said.
        sample = replace(trial.sample, is_grounded=trial.arm.startswith("rag/"))
        return replace(trial, sample=sample, asked_at=asked_at, error=str(error))
    return replace(
        trial,
        sample=_with_answer(trial.sample, answer),
        answered_by=answer.model,
        finish_reason=answer.finish_reason,
        error="",
        timings_ms=answer.timings_ms,
        prompt_tokens=answer.prompt_tokens,
        cached_tokens=answer.cached_tokens,
        completion_tokens=answer.completion_tokens,
        asked_at=asked_at,
    )


def _with_answer(sample: Sample, answer: ChatAnswer) -> Sample:
    found = answer.citations
    cited = [SampleCitation(*place, i) for i, each in enumerate(found) if (place := each.cited_at) is not None]
    return replace(
        sample,
        reply=answer.text,
        passages=tuple(SamplePassage(each.text, each.source, each.chunk_id, each.start, each.end) for each in found),
        citations=tuple(dict.fromkeys((*cited, *marked_citations(answer.text, len(found))))),
        is_grounded=answer.is_grounded,
    )
