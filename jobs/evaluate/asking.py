"""Ask every question of every arm, as any client would: over HTTP, so what is measured is what users get.

In: an eval set, arms and a run. Out: a trial for each question and arm. What the run has already is not asked again. It
does not judge.
"""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from hashlib import sha256

from plait.chat_client import ChatAnswer, Sent
from plait.errors import Forbidden, ModelNotFound, Overloaded, PlaitError, Unauthorized, Unavailable
from plait.evaluation.citation_marks import marked_citations
from plait.evaluation.eval_set import Question
from plait.evaluation.runs.run import Run
from plait.evaluation.runs.trial import Trial
from plait.evaluation.sample import Sample, SampleCitation, SamplePassage
from plait.jobs.evaluate.asked_arm import AskedArm
from plait.jobs.evaluate.keeping import in_turn, kept
from plait.jobs.evaluate.progress import shown

_OF_ALL = (Unavailable, Unauthorized, Forbidden, ModelNotFound, Overloaded)
"""What a server says of every question, whichever it is asked: nothing is gained by asking on."""


async def ask_missing(
    run: Run, questions: Sequence[Question], arms: Sequence[AskedArm], how: Sent, at_once: int
) -> list[Trial]:
    """Trials of every arm, one arm after the other, each in the order of the questions.

    A question that the server cannot answer by itself (it is too long, say) is a trial with an error; it is asked again
    by a run that goes on.

    Raises:
        PlaitError: what the server says of every question: that it is not there, or that it has too much to do.
    """
    before = run.trials()
    trials: list[Trial] = []
    # Arms share the server one after another: latencies of one are not those of a mixture.
    for arm in arms:
        of_arm = [before.get(trial.key, trial) for trial in planned(questions, arm, how)]
        trials += await _ask(run, arm, of_arm, how, at_once)
    return trials


def planned(questions: Sequence[Question], arm: AskedArm, how: Sent) -> list[Trial]:
    """What is to be asked of an arm: trials without a reply."""
    seen: Counter[str] = Counter()
    trials = []
    for number, (question, conversation) in enumerate(zip(questions, arm.conversations(questions), strict=True)):
        digest = question.digest()[:32]
        question_key = f"{digest}-{seen[digest]}"
        seen[digest] += 1
        told = json.dumps([question_key, arm.name, arm.weights, how.max_tokens, how.temperature, how.seed])
        if conversation != question.conversation:
            told += repr(conversation)
        trials.append(
            Trial(
                key=sha256(told.encode()).hexdigest(),
                question_key=question_key,
                arm=arm.name,
                number=number,
                conversation=conversation,
                sample=question.sample(""),
                max_tokens=how.max_tokens,
                temperature=how.temperature,
                seed=how.seed,
            )
        )
    return trials


def is_answered(trial: Trial) -> bool:
    """Whether a trial has its reply, and need not be asked again."""
    return trial.asked_at is not None and not trial.error


async def _ask(run: Run, arm: AskedArm, trials: Sequence[Trial], how: Sent, at_once: int) -> list[Trial]:
    """The trials of an arm, those that have no reply asked."""
    done = {trial.key: trial for trial in trials if is_answered(trial)}
    missing = [trial for trial in trials if trial.key not in done]
    with shown(f"ask {arm.name}", len(trials), len(done)) as advance:

        async def ask(trial: Trial) -> None:
            done[trial.key] = await _answered(arm, trial, how)
            run.add_trial(done[trial.key])
            advance()

        async with kept(run):
            await in_turn(ask, missing, at_once)
    return [done[trial.key] for trial in trials]


async def _answered(arm: AskedArm, trial: Trial, how: Sent) -> Trial:
    asked_at = datetime.now(UTC)
    try:
        answer = await arm.ask(trial.conversation, how)
    except PlaitError as error:
        if isinstance(error, _OF_ALL):
            raise
        # What needs passages applies to it, too: it is submitted, and cannot be said.
        sample = replace(trial.sample, is_grounded=arm.is_grounded)
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
