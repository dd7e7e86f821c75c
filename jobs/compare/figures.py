"""The figure of an arm: its mean over the questions of a kind, or over all kinds, with its interval."""

from collections.abc import Sequence

import numpy as np

from plait.evaluation.statistics.figure import Figure
from plait.evaluation.statistics.means import Array, mean_interval
from plait.jobs.compare.accuracy import Answers
from plait.jobs.compare.intervals import CONFIDENCE, Bounded, documents_of, over_kinds, over_trainings
from plait.jobs.compare.training_spread import arm_spread


def figure_of(answers: Answers, all_answers: Sequence[Answers]) -> Figure:
    """The figure over the questions of all kinds that an arm was asked, each kind with the same weight.

    Args:
        all_answers: of all arms that were asked these questions, from which the spread of trainings is told.
    """
    of_kinds = [answers.of_kind(kind) for kind in answers.kinds]
    bounded = [_by_questions(each) for each in of_kinds]
    mean = over_kinds(bounded, answers.questions, answers.middle.mean(axis=1))
    low, high = over_trainings(mean, arm_spread(answers, all_answers)).within(0.0)
    values = [value for each in of_kinds if (value := _mean_of_said(each)) is not None]
    return Figure(
        value=float(np.mean(values)) if values else None,
        low=low,
        high=high,
        submitted=len(answers.questions),
        unsaid=int((~answers.is_said).sum()),
    )


def _by_questions(answers: Answers) -> Bounded:
    """Over the questions of one kind, whose documents were drawn; the trainings are taken as they are."""
    lows, highs, groups = answers.low.mean(axis=1), answers.high.mean(axis=1), documents_of(answers.questions)
    low = mean_interval(_plain(lows), groups, CONFIDENCE)[0]
    high = mean_interval(_plain(highs), groups, CONFIDENCE)[1]
    return Bounded(
        low=float(lows.mean()),
        high=float(highs.mean()),
        below=max(0.0, float(lows.mean()) - low),
        above=max(0.0, high - float(highs.mean())),
    )


def _mean_of_said(answers: Answers) -> float | None:
    is_said = answers.low == answers.high
    return float(answers.low[is_said].mean()) if is_said.any() else None


def _plain(values: Array) -> list[float]:
    """Means of scores at a bound are at that bound, whatever was rounded."""
    return [float(value) for value in values.clip(0.0, 1.0)]
