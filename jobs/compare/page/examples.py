"""Questions on which arms differ, each with the reply of every arm.

In: findings and the verdict on them. Out: of each kind a few questions, those that split the arms most evenly first.
It judges nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from plait.evaluation.sample import Sample
from plait.jobs.compare.accuracy import OTHER, accuracy_score
from plait.jobs.compare.findings import Findings
from plait.jobs.compare.verdict import Verdict
from plait.jobs.evaluate.report import JudgedTrial

_SHOWN_OF_KIND = 3
_LONGEST = 600
"""Characters of a text on the page; all of it is in compare.json."""


@dataclass(frozen=True)
class ArmReply:
    """What an arm replied.

    Attributes:
        text: the reply, or why there is none.
        score: in [0, 1], 1 where it is right; None: it cannot be said.
        sources: documents of the passages that it was given, each once.
    """

    arm: str
    text: str
    is_error: bool
    score: float | None
    sources: Sequence[str]


@dataclass(frozen=True)
class Example:
    """A question, what was expected, and what each arm replied to it."""

    question: str
    expected: str
    replies: Sequence[ArmReply]


def examples(findings: Findings, verdict: Verdict) -> dict[str, list[Example]]:
    """By kind, questions to which arms' replies have different scores; a kind without any is left out.

    An arm that was trained several times replies by its first training. The kind is empty where there is one alone.
    """
    names = {arm.runs[0]: arm.name for arm in findings.arms}
    score_of = accuracy_score(findings.recipe.accuracy)
    asked: dict[tuple[str, str], list[_Scored]] = {}
    for judged in findings.evaluation.trials:
        if judged.trial.arm in names:
            kind = (judged.trial.sample.kind or OTHER) if verdict.kinds else ""
            score = score_of(judged)
            scored = _Scored(names[judged.trial.arm], judged, None if score is None else score.value)
            asked.setdefault((kind, judged.trial.question_key), []).append(scored)
    found = {}
    for kind in [each.kind for each in verdict.kinds] or [""]:
        questions = [scored for (of_kind, _), scored in asked.items() if of_kind == kind and _differ(scored)]
        questions.sort(key=_imbalance)
        found[kind] = [_example(scored) for scored in questions[:_SHOWN_OF_KIND]]
    return {kind: of_kind for kind, of_kind in found.items() if of_kind}


@dataclass(frozen=True)
class _Scored:
    """An arm's answer to a question, and its score; None: it cannot be said."""

    arm: str
    judged: JudgedTrial
    score: float | None


def _differ(answers: Sequence[_Scored]) -> bool:
    return len({answer.score for answer in answers if answer.score is not None}) > 1


def _imbalance(answers: Sequence[_Scored]) -> float:
    """0 where as many arms are right as wrong, 0.5 where all are one of these."""
    return abs(fmean(answer.score for answer in answers if answer.score is not None) - 0.5)


def _example(answers: Sequence[_Scored]) -> Example:
    sample = answers[0].judged.trial.sample
    return Example(_cut(sample.question), _expected(sample), [_reply(answer) for answer in answers])


def _reply(answer: _Scored) -> ArmReply:
    trial = answer.judged.trial
    return ArmReply(
        arm=answer.arm,
        text=_cut(trial.error or trial.sample.reply or "(an empty reply)"),
        is_error=bool(trial.error),
        score=answer.score,
        sources=list(dict.fromkeys(each.source for each in trial.sample.passages if each.source)),
    )


def _expected(sample: Sample) -> str:
    if sample.answers:
        return _cut(" or ".join(sample.answers))
    if sample.pattern:
        return _cut(f"the form {sample.pattern}")
    return "that the question cannot be answered" if sample.unanswerable else ""


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
