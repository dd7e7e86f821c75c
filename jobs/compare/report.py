"""A comparison as files: compare.html to read, compare.json for programs.

In: findings and the verdict on them. Out: both files, whole. What was timed, and what follows from that, stands in
compare.json under `measured`, in the place there that it would have beside it, so that all else of two comparisons with
the same seed and data is equal.
"""

import json
import math
from dataclasses import asdict
from pathlib import Path
from typing import TypeAlias

from plait.jobs.compare.findings import Findings
from plait.jobs.compare.page.page import render
from plait.jobs.compare.verdict import Verdict
from plait.whole_files import full_disk_told, write_whole

PAGE, REPORT = "compare.html", "compare.json"
MEASURED = "measured"

Json: TypeAlias = "dict[str, Json] | list[Json] | str | int | float | bool | None"

_TIMED = frozenset(
    {"seconds", "latency_ms", "fixed_seconds", "reindex_seconds", "retrain_seconds"}  # times
    | {"fixed_cost", "break_even"}  # what follows from times
    | {"sentences"}  # the second names times
    | {"judge_use"}  # a verdict that is in the judge's cache is not asked for again
)


def write_report(folder: Path, findings: Findings, verdict: Verdict) -> Path:
    """Write both files into a folder, which is made; returns the page.

    Raises:
        InsufficientStorage: when the disk is full.
    """
    page = render(findings, verdict)
    report = json.dumps(as_json(findings, verdict), indent=1, ensure_ascii=False, sort_keys=True, allow_nan=False)
    with full_disk_told(folder.parent):
        folder.mkdir(parents=True, exist_ok=True)
    write_whole(folder / REPORT, report)
    write_whole(folder / PAGE, page)
    return folder / PAGE


def as_json(findings: Findings, verdict: Verdict) -> dict[str, Json]:
    """Verdict, findings and every answer, without the texts of passages; what was timed under `measured`.

    `advice` is the first sentence of the verdict; both are in `measured.verdict`.

    A number that is none, as the perplexity of a training that diverged, is null.
    """
    rest, measured = _split(
        {
            "advice": verdict.sentences[0],
            "verdict": _plain(asdict(verdict)),
            "recipe": findings.recipe.model_dump(mode="json"),
            "arms": [{**asdict(arm), "runs": list(arm.runs)} for arm in findings.arms],
            "trainings": _plain([asdict(training) for training in findings.trainings]),
            "indexing": None if findings.indexing is None else _plain(asdict(findings.indexing)),
            "update": None if findings.update is None else _plain(asdict(findings.update)),
            "questions_by": findings.questions_by,
            "evaluation": _plain(findings.evaluation.as_json()),
            "identity": dict(findings.identity),
            "command": findings.command,
        }
    )
    assert isinstance(rest, dict)
    return {**rest, MEASURED: measured}


def _split(tree: Json) -> tuple[Json, Json]:
    """A tree without what was timed, and what was timed in the same place of another tree; null: nothing below it."""
    if isinstance(tree, dict):
        rest: dict[str, Json] = {}
        timed: dict[str, Json] = {name: value for name, value in tree.items() if name in _TIMED}
        for name in tree.keys() - timed.keys():
            rest[name], below = _split(tree[name])
            if below is not None:
                timed[name] = below
        return rest, timed or None
    if isinstance(tree, list):
        parts = [_split(each) for each in tree]
        below_all = [below for _, below in parts]
        return [each for each, _ in parts], below_all if any(below is not None for below in below_all) else None
    return tree, None


def _plain(value: object) -> Json:
    """A value as JSON has it: lists for tuples, null for numbers that are not finite."""
    if isinstance(value, dict):
        return {str(name): _plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    assert value is None or isinstance(value, str | int | float | bool), type(value)
    return value
