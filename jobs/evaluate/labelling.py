"""Label samples of a run: samples out to people, their labels in, and what these say of every arm.

In: the folder of a run, and a metric that a judge has scored. Out: the samples to label; or, of labels, a file beside
the run, and estimates whose intervals hold whatever the judge is worth. Where people label is not known here.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from plait.errors import InvalidInput, did_you_mean
from plait.evaluation.labels.choice import choose
from plait.evaluation.labels.kept import estimate, keep_labels, read_labels
from plait.evaluation.labels.sheet import LabelRow
from plait.evaluation.runs.run import opened
from plait.evaluation.runs.trial import Trial
from plait.evaluation.statistics.figure import Figure, figure
from plait.evaluation.statistics.prediction_powered import PredictionPowered


@dataclass(frozen=True)
class ArmEstimate:
    """An arm by the judge, and by people's labels, or why these say nothing yet."""

    arm: str
    judged: Figure
    labelled: PredictionPowered | str


@dataclass(frozen=True)
class ScoredArm:
    """Trials of an arm that a metric applies to, each with the judge's score."""

    arm: str
    trials: Sequence[Trial]
    scores: Sequence[float | None]

    @property
    def groups(self) -> list[str]:
        return [trial.sample.group for trial in self.trials]


def samples_to_label(folder: Path, metric: str, judge: str | None, count: int, seed: int) -> list[LabelRow]:
    """Choose samples to label: `count` of every arm, less those that have a label.

    Raises:
        NotFound: when the folder holds no run.
        InvalidInput: when nothing was scored by the metric, or several judges did and none is named, or so many samples
            have a label already.
        Conflict: when the labels that there are were chosen by the scores of another judge.
    """
    judge, arms = _scored(folder, metric, judge)
    keep_labels(folder, metric, judge, {})
    known = read_labels(folder)[metric].labels
    chosen: list[Trial] = []
    for scored in arms:
        labelled = frozenset(place for place, trial in enumerate(scored.trials) if trial.key in known)
        chosen += [scored.trials[place] for place in choose(scored.scores, count, seed, labelled)]
    if not chosen:
        raise InvalidInput(
            f"Every sample that would be chosen for {metric} has a label.", "Ask for more of every arm with --count."
        )
    return [_row(trial) for trial in chosen]


def take_labels(
    folder: Path, metric: str, judge: str | None, given: Mapping[str, float], place: str
) -> list[ArmEstimate]:
    """Keep labels, and estimate every arm from all that there are.

    Args:
        given: by the sample's id.
        place: where they are from, as in "The sheet 'labels.csv'".

    Raises:
        InvalidInput: when they name samples that the run does not have.
    """
    judge, arms = _scored(folder, metric, judge)
    strangers = given.keys() - {trial.key for scored in arms for trial in scored.trials}
    if strangers:
        raise InvalidInput(
            f"{place} labels {len(strangers)} samples that the run in '{folder}' does not have.",
            "Give the run that it was written for.",
        )
    labels = keep_labels(folder, metric, judge, given).labels
    return [
        ArmEstimate(
            scored.arm,
            figure(scored.scores, scored.groups),
            estimate([trial.key for trial in scored.trials], scored.scores, scored.groups, labels),
        )
        for scored in arms
    ]


def _scored(folder: Path, metric: str, judge: str | None) -> tuple[str, list[ScoredArm]]:
    """The judge whose scores are meant, and the arms that it scored by a metric."""
    run = opened(folder)
    scores = run.scores()
    of_metric = [scored for scored in scores if scored.metric == metric]
    if not of_metric:
        known = {scored.metric for scored in scores}
        raise InvalidInput(f"The run in '{folder}' has no scores of {metric}.", did_you_mean(metric, known))
    judges = sorted({scored.judge for scored in of_metric})
    if judge is None and len(judges) > 1:
        raise InvalidInput(f"{', '.join(judges)} have scored {metric}.", "Name one with --judge.")
    judge = judge or judges[0]
    if judge not in judges:
        raise InvalidInput(f"'{judge}' has not scored {metric} in '{folder}'.", did_you_mean(judge, judges))
    values = {scored.trial: scored.score.value for scored in of_metric if scored.judge == judge}
    trials = [trial for key, trial in run.trials().items() if key in values]
    arms = dict.fromkeys(trial.arm for trial in trials)
    return judge, [_of_arm(arm, trials, values) for arm in arms]


def _of_arm(arm: str, trials: Sequence[Trial], values: dict[str, float | None]) -> ScoredArm:
    mine = [trial for trial in trials if trial.arm == arm]
    return ScoredArm(arm, mine, [values[trial.key] for trial in mine])


def _row(trial: Trial) -> LabelRow:
    sample = trial.sample
    passages = "\n\n".join(f"[{number}] {passage.text}" for number, passage in enumerate(sample.passages, start=1))
    return LabelRow(trial.key, sample.question, sample.reply, passages, "\n".join(sample.answers))
