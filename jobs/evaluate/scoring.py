"""Score trials by the metrics of a recipe. What a run has scored already is not scored again.

In: trials, a recipe and a run. Out: trials with their scores. A metric that needs what a sample lacks does not apply to
it; a trial without a reply is submitted all the same, and what it is worth cannot be said.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from itertools import product
from typing import Any

from plait.errors import InvalidInput, did_you_mean
from plait.evaluation.gate import Gate
from plait.evaluation.judges.opening import open_judge
from plait.evaluation.metrics.metric import Instruments, Metric, Need, lacking, metric, metric_names
from plait.evaluation.runs.run import Run
from plait.evaluation.runs.trial import Trial, TrialScore
from plait.evaluation.score import Score, unsaid
from plait.jobs.evaluate.asking_again import GroundedModel
from plait.jobs.evaluate.keeping import in_turn, kept
from plait.jobs.evaluate.progress import shown
from plait.models.chat_endpoint import ChatEndpoint
from plait.models.encoders.when_used import LoadedWhenUsed
from plait.models.generate import Generated
from plait.models.message import Message
from plait.recipes import JudgingConfig

DEFAULT_METRICS = (
    "contains",
    "token_f1",
    "retrieval_recall",
    "retrieval_ndcg",
    "context_recall",
    "faithfulness",
    "citation_precision",
    "citation_recall",
    "abstention",
    "form",
)
"""Those that a recipe which names none has, as far as they apply: all are computed offline, without a model."""


@dataclass(frozen=True)
class Again:
    """The server that trials are from, and how long its answers may be."""

    base_url: str
    max_tokens: int


@dataclass(frozen=True)
class Scores:
    """What scoring found.

    Attributes:
        by_trial: scores by key of the trial, then by metric; none of a metric that does not apply.
        inapplicable: metrics that the recipe names and that apply to no trial, with what the trials lack.
        judge: the name of who judged.
    """

    by_trial: Mapping[str, Mapping[str, Score]]
    inapplicable: Mapping[str, Sequence[str]]
    judge: str


def check_metrics(recipe: JudgingConfig) -> None:
    """Find out before anything is asked that there is no such metric.

    Raises:
        InvalidInput: when there is no metric of a name.
    """
    for name in recipe.metrics or ():
        if name not in metric_names():
            raise InvalidInput(f"There is no metric '{name}'.", did_you_mean(name, metric_names()))


def check_measured(gates: Sequence[Gate], recipe: JudgingConfig, arms: Sequence[str]) -> None:
    """Find out before anything is asked that a gate is of nothing.

    Raises:
        InvalidInput: for a gate of a metric that is not measured, or of an arm that there is not.
    """
    names = recipe.metrics or list(DEFAULT_METRICS)
    for gate in gates:
        if gate.metric not in metric_names():
            raise InvalidInput(
                f"The gate '{gate.text}' is of no metric that there is.", did_you_mean(gate.metric, metric_names())
            )
        if gate.metric not in names:
            raise InvalidInput(
                f"The gate '{gate.text}' is of a metric that is not measured.", f"Add --metric {gate.metric}."
            )
        if gate.arm is not None and gate.arm not in arms:
            raise InvalidInput(f"The gate '{gate.text}' is of no arm that there is.", did_you_mean(gate.arm, arms))


async def score_missing(
    run: Run, trials: Sequence[Trial], recipe: JudgingConfig, at_once: int, again: Again | None = None
) -> Scores:
    """Score every trial by every metric that applies to it.

    Args:
        at_once: samples that are judged at once.
        again: how to ask those who answered again; None: they cannot be asked.

    Raises:
        InvalidInput: when a metric or judge lacks what it measures with.
        PlaitError: when a judge cannot be asked.
    """
    names = recipe.metrics or [name for name in DEFAULT_METRICS if name in metric_names()]
    embedding = LoadedWhenUsed(recipe.embedding)
    found: dict[str, dict[str, Score]] = {trial.key: {} for trial in trials}
    lacked: dict[str, set[Need]] = {name: set() for name in names}
    async with AsyncExitStack() as stack:
        judge = await stack.enter_async_context(open_judge(recipe.judge, embedding))
        scored_by = partial(TrialScore, judge=judge.name, instruments=_instruments(recipe))
        for scored in run.scores():
            is_the_same = scored == scored_by(scored.trial, scored.metric, score=scored.score)
            if is_the_same and scored.metric in names and scored.trial in found:
                found[scored.trial][scored.metric] = scored.score
        for arm in dict.fromkeys(trial.arm for trial in trials):
            ask = None if again is None else GroundedModel(_Served(arm, again.base_url, stack), again.max_tokens)
            metrics = [metric(name, Instruments(judge, embedding, ask)) for name in names]
            missing: list[tuple[Trial, Metric]] = []
            for trial, by in product((trial for trial in trials if trial.arm == arm), metrics):
                needs = lacking(by.needs, trial.sample)
                lacked[by.name].update(needs)
                if trial.error and not needs:
                    found[trial.key][by.name] = unsaid(f"It was not answered: {trial.error}")
                elif not needs and by.name not in found[trial.key]:
                    missing.append((trial, by))
            await _score(run, arm, missing, scored_by, found, at_once)
    applied = {name for scores in found.values() for name in scores}
    return Scores(
        by_trial={key: {name: scores[name] for name in names if name in scores} for key, scores in found.items()},
        inapplicable={name: sorted(lacked[name]) for name in recipe.metrics or () if name not in applied},
        judge=judge.name,
    )


async def _score(
    run: Run,
    arm: str,
    missing: Sequence[tuple[Trial, Metric]],
    scored_by: Callable[..., TrialScore],
    found: Mapping[str, dict[str, Score]],
    at_once: int,
) -> None:
    """Score what is missing of an arm, and put it to what is found."""
    if not missing:
        return
    with shown(f"judge {arm}", len(missing)) as advance:

        async def score(work: tuple[Trial, Metric]) -> None:
            trial, by = work
            given = await by.score(trial.sample)
            found[trial.key][by.name] = given
            run.add_score(scored_by(trial.key, by.name, score=given))
            advance()

        async with kept(run):
            await in_turn(score, missing, at_once)


def _instruments(recipe: JudgingConfig) -> str:
    """What scores of a recipe are measured with. Keys and prices change none."""
    judge = recipe.judge
    how = judge if isinstance(judge, str) else judge.model_dump(include={"model", "base_url"})
    return json.dumps({"judge": how, "embedding": recipe.embedding})


class _Served:
    """`Generate` of an arm's model without retrieval; it is connected to when it is first asked."""

    def __init__(self, arm: str, base_url: str, stack: AsyncExitStack) -> None:
        self._model, self._base_url, self._stack = arm.removeprefix("rag/"), base_url, stack
        self._endpoint: ChatEndpoint | None = None

    async def generate(
        self, messages: Sequence[Message], max_tokens: int, json_schema: Mapping[str, Any] | None = None
    ) -> Generated:
        """See `Generate`."""
        if self._endpoint is None:
            self._endpoint = ChatEndpoint.served(self._model, self._base_url)
            self._stack.push_async_exit(self._endpoint)
        return await self._endpoint.generate(messages, max_tokens, json_schema)
