"""What an evaluation found: every trial with its scores, and figures by metric, arm, kind and group with intervals.

In: trials and scores. Out: figures, whose denominator is what was submitted: what a metric cannot say of a sample is
counted, and widens the interval. It computes nothing about a text.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from itertools import combinations, product
from pathlib import Path
from typing import Any

from plait.evaluation.labels.kept import estimate
from plait.evaluation.runs.trial import Trial
from plait.evaluation.score import JudgeUse, Score
from plait.evaluation.statistics.comparisons import Comparison, Pair, compare
from plait.evaluation.statistics.figure import Figure, figure
from plait.evaluation.statistics.power import observed_power
from plait.evaluation.statistics.prediction_powered import PredictionPowered
from plait.jobs.evaluate.costs import ArmCosts, costs_of
from plait.jobs.evaluate.judge_worth import JudgeWorth
from plait.recipes.prices import TokenPrice


@dataclass(frozen=True)
class JudgedTrial:
    """A trial, and its scores by metric; a metric that does not apply to it has none."""

    trial: Trial
    scores: Mapping[str, Score]

    @property
    def is_right(self) -> bool:
        """Whether the reply has an expected answer in it; one that is not there has none."""
        score = self.scores.get("contains")
        return score is not None and score.value == 1


@dataclass(frozen=True)
class EvaluationReport:
    """Every trial of a run, arm after arm, each in the order of the questions.

    Attributes:
        metrics: those that apply to some trial, in the order in which they were asked for.
        judge: the name of who judged.
        inapplicable: metrics that were asked for and apply to none, with what the samples lack.
        folder: of the run, which holds everything.
        worth: what is known of the judge.
        prices: of the tokens that were read and written, by arm.
        judge_price: of the judge's tokens; None: there is none.
    """

    trials: Sequence[JudgedTrial]
    metrics: Sequence[str] = ("contains",)
    judge: str = ""
    inapplicable: Mapping[str, Sequence[str]] = field(default_factory=dict)
    folder: Path | None = None
    worth: JudgeWorth = field(default_factory=JudgeWorth)
    prices: Mapping[str, TokenPrice] = field(default_factory=dict)
    judge_price: TokenPrice | None = None
    _figures: dict[tuple[str, str, str | None, str | None, float], Figure | None] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    @property
    def arms(self) -> list[str]:
        return list(dict.fromkeys(judged.trial.arm for judged in self.trials))

    @property
    def kinds(self) -> list[str]:
        """Kinds of question that have a name, in the order in which they first come."""
        return [kind for kind in dict.fromkeys(judged.trial.sample.kind for judged in self.trials) if kind]

    @property
    def groups(self) -> list[str]:
        """Groups that have a name, in the order in which they first come."""
        return [group for group in dict.fromkeys(judged.trial.sample.group for judged in self.trials) if group]

    def of_arm(self, arm: str) -> list[JudgedTrial]:
        """Trials of an arm."""
        return [judged for judged in self.trials if judged.trial.arm == arm]

    def measured(self, metric: str, arm: str) -> Sequence[JudgedTrial]:
        """Trials of an arm that a metric applies to."""
        return self._parts.get((metric, arm), {}).get((None, None), [])

    def figure(
        self, metric: str, arm: str, kind: str | None = None, confidence: float = 0.95, group: str | None = None
    ) -> Figure | None:
        """The mean of a metric with its interval, over all, those of a kind or those of a group.

        None where it applies to no trial.
        """
        which = (metric, arm, kind, group, confidence)
        if which not in self._figures:  # a bootstrap takes its time
            of_part = self._parts.get((metric, arm), {}).get((kind, group), [])
            self._figures[which] = _figure(of_part, metric, confidence)
        return self._figures[which]

    def best(self, metric: str) -> str | None:
        """The arm with the highest figure; the first of equals; None where nothing can be said of any."""
        values = {
            arm: found.value for arm in self.arms if (found := self.figure(metric, arm)) and found.value is not None
        }
        return max(values, key=values.__getitem__, default=None)

    def right(self, arm: str) -> list[bool]:
        """Whether each reply to a question with an expected answer is right, in the order of the questions."""
        return [judged.is_right for judged in self.measured("contains", arm)]

    @cached_property
    def comparisons(self) -> list[Comparison]:
        """Every two arms by every metric, on the questions that both have a score of; corrected for all together."""
        return compare(self._pairs())

    def by_labels(self, metric: str, arm: str) -> PredictionPowered | str | None:
        """What people would say of all trials of an arm, or why that is not known; None where they labelled none."""
        given = self.worth.labels.get(metric)
        measured = self.measured(metric, arm)
        if given is None or not measured:
            return None
        return estimate(
            [judged.trial.key for judged in measured],
            [judged.scores[metric].value for judged in measured],
            [judged.trial.sample.group for judged in measured],
            given.labels,
        )

    @property
    def judge_use(self) -> JudgeUse:
        """What judging cost."""
        uses = (score.use for judged in self.trials for score in judged.scores.values())
        return sum(uses, JudgeUse())

    @property
    def judge_cost(self) -> float | None:
        """What the judge's tokens cost; None where it has no price."""
        use = self.judge_use
        return None if self.judge_price is None else self.judge_price.cost(use.prompt_tokens, use.generated_tokens)

    @cached_property
    def costs(self) -> list[ArmCosts]:
        """What an answer of each arm takes; none where nothing is known of any, as of samples from elsewhere."""
        costs = [costs_of(arm, [judged.trial for judged in self.of_arm(arm)]) for arm in self.arms]
        return costs if any(each.is_known for each in costs) else []

    @property
    def power(self) -> str | None:
        """What the questions can tell by the first metric, of its two best arms; None where there are no two."""
        metric = self.metrics[0] if self.metrics else ""
        values = {arm: found.value for arm in self.arms if (found := self.figure(metric, arm)) is not None}
        best = sorted(values, key=lambda arm: -(values[arm] or 0.0))[:2]
        if len(best) < 2:
            return None
        pair = self._pair(metric, *best)
        power = None if pair is None else observed_power(pair, len(self._pairs()))
        return None if power is None else power.sentence

    def as_json(self) -> dict[str, Any]:
        """Figures, comparisons, and every trial without the texts of its passages."""
        return {
            "judge": self.judge,
            "judge_use": {**asdict(self.judge_use), "cost": self.judge_cost},
            "judge_worth": self.worth.sentences,
            "inapplicable": dict(self.inapplicable),
            "figures": list(self._by_part()),
            "by_labels": [
                {"metric": metric, "arm": arm, **(asdict(found) if not isinstance(found, str) else {"unknown": found})}
                for metric, arm in product(self.metrics, self.arms)
                if (found := self.by_labels(metric, arm)) is not None
            ],
            "costs": [asdict(each) for each in self.costs],
            "prices": {arm: price.model_dump() for arm, price in self.prices.items()},
            "comparisons": [asdict(comparison) for comparison in self.comparisons],
            "trials": [_trial_json(judged) for judged in self.trials],
        }

    def _by_part(self) -> Iterator[dict[str, Any]]:
        for metric, arm in product(self.metrics, self.arms):
            for kind, group in self._parts.get((metric, arm), {}):
                found = self.figure(metric, arm, kind, group=group)
                if found is not None:
                    yield {"metric": metric, "arm": arm, "kind": kind, "group": group, **asdict(found)}

    @cached_property
    def _parts(self) -> dict[tuple[str, str], dict[tuple[str | None, str | None], list[JudgedTrial]]]:
        """By metric and arm, the trials that the metric applies to: all, those of each kind, those of each group."""
        parts: dict[tuple[str, str], dict[tuple[str | None, str | None], list[JudgedTrial]]] = {}
        for judged in self.trials:
            sample = judged.trial.sample
            which = dict.fromkeys(((None, None), (sample.kind or None, None), (None, sample.group or None)))
            for metric in judged.scores:
                of_arm = parts.setdefault((metric, judged.trial.arm), {})
                for part in which:
                    of_arm.setdefault(part, []).append(judged)
        return parts

    def _pairs(self) -> list[Pair]:
        pairs = (self._pair(metric, *arms) for metric in self.metrics for arms in combinations(self.arms, 2))
        return [pair for pair in pairs if pair is not None]

    def _pair(self, metric: str, first: str, second: str) -> Pair | None:
        """Their scores of the questions that both have one of; None where there are none."""
        scored = [
            {judged.trial.question_key: judged for judged in self.measured(metric, arm)} for arm in (first, second)
        ]
        common = [key for key in scored[0] if key in scored[1]]
        if not common:
            return None
        values = [[of_arm[key].scores[metric].value for key in common] for of_arm in scored]
        groups = [scored[0][key].trial.sample.group for key in common]
        return Pair(metric, first, second, values[0], values[1], groups)


def _figure(measured: Sequence[JudgedTrial], metric: str, confidence: float = 0.95) -> Figure | None:
    if not measured:
        return None
    groups = [judged.trial.sample.group for judged in measured]
    # Of one group alone there is no other to tell how far groups are apart: its samples are all that is asked about.
    independent = len(set(groups)) == 1
    scores = [judged.scores[metric].value for judged in measured]
    return figure(scores, () if independent else groups, confidence)


def _trial_json(judged: JudgedTrial) -> dict[str, Any]:
    trial, sample = judged.trial, judged.trial.sample
    use = sum((score.use for score in judged.scores.values()), JudgeUse())
    return {
        "arm": trial.arm,
        "number": trial.number,
        "question": sample.question,
        "answers": list(sample.answers),
        "kind": sample.kind,
        "group": sample.group,
        "unanswerable": sample.unanswerable,
        "reply": sample.reply,
        "error": trial.error,
        "passages": [passage.source for passage in sample.passages],
        "scores": {name: {"value": score.value, "reason": score.reason} for name, score in judged.scores.items()},
        "answered_by": trial.answered_by,
        "latency_ms": trial.timings_ms.get("total"),
        "prompt_tokens": trial.prompt_tokens,
        "completion_tokens": trial.completion_tokens,
        "seed": trial.seed,
        "cost": trial.cost,
        "judge_use": asdict(use),
    }
