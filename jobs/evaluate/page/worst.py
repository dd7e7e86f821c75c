"""The worst samples of each arm, each with what does not hold of it, and the passage to read beside that.

In: a report. Out: samples in the order of their mean score, the lowest first; a score that cannot be said counts as 0
there. Arms share the page, so that a weak one does not hide where a good one fails. It judges nothing: where the judge
names no passage, the one that has most of the claim's words is shown.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from plait.evaluation.answers import tokens
from plait.evaluation.sample import Sample
from plait.evaluation.score import Finding, Score
from plait.jobs.evaluate.report import EvaluationReport, JudgedTrial

_SHOWN, _SHOWN_OF_ARM = 50, 10
"""How many samples are shown in all, and at least of each arm."""
_EXCERPT = 1_200
"""Characters of a passage that are shown beside a claim; chunks are shorter as a rule, passages from elsewhere not."""

_HELD_AGAINST_PASSAGES = ("faithfulness", "context_recall", "citation_precision", "citation_recall")
"""Metrics of which what does not hold is a claim that no passage supports."""


@dataclass(frozen=True)
class Beside:
    """A passage beside a claim.

    Attributes:
        number: among the passages of the sample, from 1.
        text: of the passage, or the part of it that has most of the claim's words.
        is_named: whether the judge names it; else it is the closest in words.
    """

    number: int
    source: str
    text: str
    is_named: bool


@dataclass(frozen=True)
class Fault:
    """What does not hold, or cannot be said to.

    Attributes:
        metrics: that found it.
        text: a claim, a sentence, a fact; empty where it is the passage itself.
        is_unsaid: the judge gave no verdict.
    """

    metrics: tuple[str, ...]
    text: str
    reason: str
    is_unsaid: bool
    beside: Beside | None


@dataclass(frozen=True)
class WorstSample:
    """A sample, its mean score (in [0, 1]), why scores are what they are by metric, and what is wrong with it."""

    judged: JudgedTrial
    mean: float
    reasons: Mapping[str, str]
    faults: tuple[Fault, ...]


def worst_samples(report: EvaluationReport) -> dict[str, list[WorstSample]]:
    """By arm, the samples that are not perfect by all metrics, the worst first; an arm without any is left out."""
    count = max(_SHOWN // len(report.arms), _SHOWN_OF_ARM) if report.trials else 0
    worst = {arm: _worst_of(report.of_arm(arm), count) for arm in report.arms}
    return {arm: samples for arm, samples in worst.items() if samples}


def _worst_of(trials: Sequence[JudgedTrial], count: int) -> list[WorstSample]:
    means = [(_mean(judged), place) for place, judged in enumerate(trials) if judged.scores]
    lowest = sorted(each for each in means if each[0] < 1)[:count]
    return [_with_faults(trials[place], mean) for mean, place in lowest]


def _mean(judged: JudgedTrial) -> float:
    return sum(score.value or 0.0 for score in judged.scores.values()) / len(judged.scores)


def _with_faults(judged: JudgedTrial, mean: float) -> WorstSample:
    sample = judged.trial.sample
    faults: dict[tuple[str, int | None], Fault] = {}
    reasons: dict[str, str] = {}
    for metric, score in judged.scores.items():
        reason = _reason(score, sample)
        if reason and not judged.trial.error:
            reasons[metric] = reason
        for fault in _faults(metric, score, sample):
            # Several metrics hold the same sentence against the same passage.
            which = (fault.text, fault.beside.number if fault.beside else None)
            known = faults.get(which)
            if known is None:
                faults[which] = fault
            else:
                metrics = (*known.metrics, *fault.metrics)
                faults[which] = Fault(metrics, fault.text, known.reason or fault.reason, known.is_unsaid, known.beside)
    return WorstSample(judged, mean, reasons, tuple(faults.values()))


def _reason(score: Score, sample: Sample) -> str:
    """Why a score is what it is; of one verdict on the whole reply the judge's words."""
    if score.reason or len(score.findings) != 1:
        return score.reason
    only = score.findings[0]
    return only.reason if only.text == sample.reply and only.passage is None else ""


def _faults(metric: str, score: Score, sample: Sample) -> Iterator[Fault]:
    if score.value == 1:
        return
    for finding in score.findings:
        is_of_passages = metric in _HELD_AGAINST_PASSAGES
        if finding.holds or (finding.text == sample.reply and finding.passage is None and not is_of_passages):
            continue
        beside = _beside(finding, sample, is_of_passages)
        is_passage = finding.passage is not None and finding.text == sample.passages[finding.passage].text
        yield Fault((metric,), "" if is_passage else finding.text, finding.reason, finding.holds is None, beside)


def _beside(finding: Finding, sample: Sample, may_be_closest: bool) -> Beside | None:
    if finding.passage is not None:
        number = finding.passage
    elif may_be_closest and sample.passages:
        words = frozenset(tokens(finding.text))
        number = max(range(len(sample.passages)), key=lambda place: _shared(words, sample.passages[place].text))
    else:
        return None
    passage = sample.passages[number]
    return Beside(number + 1, passage.source, _excerpt(passage.text, finding.text), finding.passage is not None)


def _excerpt(passage: str, claim: str) -> str:
    """The part of a long passage that has most of a claim's words."""
    if len(passage) <= _EXCERPT:
        return passage
    words = frozenset(tokens(claim))
    starts = range(0, len(passage) - _EXCERPT // 2, _EXCERPT // 2)
    start = max(starts, key=lambda place: _shared(words, passage[place : place + _EXCERPT]))
    end = start + _EXCERPT
    return f"{'… ' if start else ''}{passage[start:end].strip()}{' …' if end < len(passage) else ''}"


def _shared(words: frozenset[str], text: str) -> int:
    return len(words.intersection(tokens(text)))
