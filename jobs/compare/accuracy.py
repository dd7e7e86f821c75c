"""Whether an answer is right: one score for each answer, whatever its question asks for.

In: findings. Out: `Answers` of every arm, by question and by seed. A question about the form of the reply is scored by
`form`, one without an answer by `abstention`, every other one by the metric that the recipe names. What cannot be said,
as of an answer that failed, is neither right nor wrong: it has both bounds. It computes no interval.
"""

from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from plait.evaluation.score import Score
from plait.evaluation.statistics.means import Array
from plait.jobs.compare.arms import Arm
from plait.jobs.compare.findings import FORM, Findings
from plait.jobs.evaluate.report import JudgedTrial

OTHER = "other"
"""The kind of questions that have none, where others have one."""

ScoreOf = Callable[[JudgedTrial], Score | None]
"""The score of an answer; None: nothing measures it."""


@dataclass(frozen=True)
class Question:
    """A question that arms were asked.

    Attributes:
        kind: one of the eval set's, or `OTHER`.
        group: of questions that are not independent of each other, as a rule a document; empty: its own.
    """

    key: str
    kind: str
    group: str


@dataclass(frozen=True)
class Answers:
    """What an arm's answers are worth.

    Attributes:
        questions: that it was asked, in the order of the eval set.
        low, high: float64 [questions, seeds], in [0, 1]: the score; where it cannot be said, 0 and 1.
    """

    arm: Arm
    questions: Sequence[Question]
    low: Array
    high: Array

    @property
    def middle(self) -> Array:
        """The scores, 0.5 where they cannot be said."""
        return (self.low + self.high) / 2

    @property
    def is_said(self) -> "np.ndarray[tuple[int], np.dtype[np.bool_]]":
        """Of each question, whether the scores of all seeds can be said."""
        return np.asarray((self.low == self.high).all(axis=1))

    @property
    def kinds(self) -> list[str]:
        """Kinds of its questions, in the order in which they first come."""
        return list(dict.fromkeys(question.kind for question in self.questions))

    def about(self, questions: Sequence[Question]) -> "Answers":
        """Those to some of its questions, in their order."""
        rows = {question.key: row for row, question in enumerate(self.questions)}
        index = [rows[question.key] for question in questions]
        return Answers(self.arm, questions, self.low[index], self.high[index])

    def of_kind(self, kind: str) -> "Answers":
        """Those to the questions of a kind."""
        return self.about([question for question in self.questions if question.kind == kind])


def accuracy_metric(scores: Container[str], is_unanswerable: bool, metric: str) -> str:
    """The metric that says whether an answer is right.

    Args:
        scores: the metrics that the answer has scores of.
        metric: of questions that neither ask for a form of the reply nor lack an answer.
    """
    if FORM in scores:
        return FORM
    return "abstention" if is_unanswerable else metric


def metric_of(judged: JudgedTrial, metric: str) -> str:
    """The metric that says whether a judged answer is right; `metric` as of `accuracy_metric`."""
    return accuracy_metric(judged.scores, bool(judged.trial.sample.unanswerable), metric)


def accuracy_score(metric: str) -> ScoreOf:
    """Says whether an answer is right; `metric` as of `accuracy_metric`."""
    return lambda judged: judged.scores.get(metric_of(judged, metric))


def answers_of(findings: Findings, score_of: ScoreOf) -> list[Answers]:
    """What the answers of every arm are worth; none of an arm of which nothing is measured."""
    has_kinds = bool(findings.evaluation.kinds)
    found = (_of_arm(findings, arm, score_of, OTHER if has_kinds else "") for arm in findings.arms)
    return [answers for answers in found if answers.questions]


def _of_arm(findings: Findings, arm: Arm, score_of: ScoreOf, unnamed: str) -> Answers:
    questions: dict[str, Question] = {}
    by_run: list[Mapping[str, Score]] = []
    for run in arm.runs:
        scores: dict[str, Score] = {}
        for judged in findings.evaluation.of_arm(run):
            score, sample = score_of(judged), judged.trial.sample
            if score is not None:
                key = judged.trial.question_key
                scores[key] = score
                questions.setdefault(key, Question(key, sample.kind or unnamed, sample.group))
        by_run.append(scores)

    def bounds(unsaid: float) -> Array:
        rows = [[_value(scores.get(key), unsaid) for scores in by_run] for key in questions]
        return np.array(rows, dtype=np.float64).reshape(len(questions), len(by_run))

    return Answers(arm, tuple(questions.values()), bounds(0.0), bounds(1.0))


def _value(score: Score | None, unsaid: float) -> float:
    return unsaid if score is None or score.value is None else score.value
