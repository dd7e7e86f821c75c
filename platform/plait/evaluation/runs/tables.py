"""Trials and scores as rows of Arrow tables, and back.

The two schemas are what the Parquet files of a run hold, for any reader of Parquet.
"""

from dataclasses import asdict
from typing import Any

import pyarrow as pa

from plait.evaluation.runs.trial import Trial, TrialScore
from plait.evaluation.sample import Sample, SampleCitation, SamplePassage
from plait.evaluation.score import Finding, JudgeUse, Score
from plait.models.message import Message

_PASSAGE = pa.struct(
    [
        ("text", pa.string()),
        ("source", pa.string()),
        ("chunk_id", pa.string()),
        ("start", pa.int64()),
        ("end", pa.int64()),
    ]
)
TRIALS = pa.schema(
    [
        ("key", pa.string()),
        ("question_key", pa.string()),
        ("arm", pa.string()),
        ("number", pa.int64()),
        ("question", pa.string()),
        ("reply", pa.string()),
        ("passages", pa.list_(_PASSAGE)),
        ("citations", pa.list_(pa.struct([("start", pa.int64()), ("end", pa.int64()), ("passage", pa.int32())]))),
        ("answers", pa.list_(pa.string())),
        ("sources", pa.list_(pa.string())),
        ("reference_passages", pa.list_(_PASSAGE)),
        ("kind", pa.string()),
        ("group", pa.string()),
        ("unanswerable", pa.bool_()),
        ("is_grounded", pa.bool_()),
        ("conversation", pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))),
        ("answered_by", pa.string()),
        ("finish_reason", pa.string()),
        ("error", pa.string()),
        ("timings_ms", pa.map_(pa.string(), pa.float64())),
        ("prompt_tokens", pa.int64()),
        ("cached_tokens", pa.int64()),
        ("completion_tokens", pa.int64()),
        ("max_tokens", pa.int64()),
        ("temperature", pa.float64()),
        ("seed", pa.int64()),
        ("cost", pa.float64()),
        ("asked_at", pa.timestamp("us", tz="UTC")),
        ("pattern", pa.string()),
    ]
)
"""A row a trial (`Trial`), the fields of its sample beside the others. Spans are characters, ends not included."""
ADDED_TO_TRIALS = ("pattern",)
"""The last columns, which runs of earlier versions lack."""

_FINDING = pa.struct([("text", pa.string()), ("holds", pa.bool_()), ("reason", pa.string()), ("passage", pa.int32())])
SCORES = pa.schema(
    [
        ("trial", pa.string()),
        ("metric", pa.string()),
        ("judge", pa.string()),
        ("instruments", pa.string()),
        ("value", pa.float64()),
        ("reason", pa.string()),
        ("findings", pa.list_(_FINDING)),
        ("calls", pa.int64()),
        ("prompt_tokens", pa.int64()),
        ("generated_tokens", pa.int64()),
    ]
)
"""A row a score (`TrialScore`); `trial` is the key of the trial. A null value: it cannot be said, for the reason."""

_OF_TRIAL = [name for name in TRIALS.names if name in Trial.__dataclass_fields__]


def trial_row(trial: Trial) -> dict[str, Any]:
    """A row of `TRIALS`."""
    return {
        **asdict(trial.sample),
        **{name: getattr(trial, name) for name in _OF_TRIAL},
        "conversation": [{"role": message.role, "content": message.content} for message in trial.conversation],
        "timings_ms": list(trial.timings_ms.items()),
    }


def trial_of(row: dict[str, Any]) -> Trial:
    """The trial of a row of `TRIALS`."""
    sample = Sample(
        question=row["question"],
        reply=row["reply"],
        passages=_passages(row["passages"]),
        citations=tuple(SampleCitation(**citation) for citation in row["citations"]),
        answers=tuple(row["answers"]),
        sources=tuple(row["sources"]),
        reference_passages=_passages(row["reference_passages"]),
        kind=row["kind"],
        group=row["group"],
        unanswerable=row["unanswerable"],
        pattern=row["pattern"],
        is_grounded=row["is_grounded"],
    )
    rest = {name: row[name] for name in _OF_TRIAL}
    rest["conversation"] = tuple(Message(**message) for message in row["conversation"])
    rest["timings_ms"] = dict(row["timings_ms"])
    return Trial(sample=sample, **rest)


def score_row(scored: TrialScore) -> dict[str, Any]:
    """A row of `SCORES`."""
    score = scored.score
    return {
        "trial": scored.trial,
        "metric": scored.metric,
        "judge": scored.judge,
        "instruments": scored.instruments,
        "value": score.value,
        "reason": score.reason,
        "findings": [asdict(finding) for finding in score.findings],
        **asdict(score.use),
    }


def score_of(row: dict[str, Any]) -> TrialScore:
    """The score of a row of `SCORES`."""
    use = JudgeUse(row["calls"], row["prompt_tokens"], row["generated_tokens"])
    findings = tuple(Finding(**finding) for finding in row["findings"])
    score = Score(row["value"], row["reason"], findings, use)
    return TrialScore(row["trial"], row["metric"], row["judge"], score, row["instruments"])


def _passages(rows: list[dict[str, Any]]) -> tuple[SamplePassage, ...]:
    return tuple(SamplePassage(**row) for row in rows)
