"""Labels beside a run, by metric and by the sample's id, and what they say of all samples of an arm.

In: labels as they come back from people. Out: one file, `labels.json`, and estimates. It does not know who labels.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from pydantic import BaseModel, ConfigDict, TypeAdapter

from plait.errors import Conflict
from plait.evaluation.kept_json import read_kept
from plait.evaluation.labels.choice import stratum
from plait.evaluation.statistics.prediction_powered import FEWEST_LABELS, PredictionPowered, prediction_powered
from plait.whole_files import write_whole

_NAME = "labels.json"


class MetricLabels(BaseModel):
    """Labels of one metric.

    Attributes:
        judge: by whose scores the samples were chosen; those of another judge make other strata.
        labels: by the sample's id.
    """

    model_config = ConfigDict(frozen=True)

    judge: str
    labels: dict[str, float]


_FILE = TypeAdapter(dict[str, MetricLabels])


def read_labels(folder: Path) -> dict[str, MetricLabels]:
    """The labels of a run by metric; none where there is no file.

    Raises:
        DataError: when the file is not one of labels.
    """
    return read_kept(folder / _NAME, _FILE) or {}


def keep_labels(folder: Path, metric: str, judge: str, labels: Mapping[str, float]) -> MetricLabels:
    """Put labels to those of a run; a sample that has one gets the new one. Returns all of the metric.

    Raises:
        Conflict: when the others were chosen by the scores of another judge.
    """
    kept = read_labels(folder)
    before = kept.get(metric, MetricLabels(judge=judge, labels={}))
    if before.judge != judge:
        raise Conflict(
            f"The labels of {metric} were chosen by the scores of '{before.judge}', not of '{judge}'.",
            f"Name that judge, or remove '{folder / _NAME}' to begin again.",
        )
    kept[metric] = MetricLabels(judge=judge, labels={**before.labels, **labels})
    write_whole(folder / _NAME, _FILE.dump_json(kept, indent=1))
    return kept[metric]


def estimate(
    samples: Sequence[str],
    scores: Sequence[float | None],
    groups: Sequence[str],
    labels: Mapping[str, float],
    confidence: float = 0.95,
) -> PredictionPowered | str:
    """What people would say of all samples, or why that is not known yet, as a sentence.

    Args:
        samples: ids of all samples of an arm that the metric applies to.
        scores: the judge's, of each; None: it cannot be said.
        groups: of each, as of `figure`.
        labels: by id; the samples were chosen by `choose`.
    """
    known = [labels.get(sample) for sample in samples]
    count = sum(label is not None for label in known)
    if count < FEWEST_LABELS:
        return f"{count} labels; an estimate takes {FEWEST_LABELS}"
    strata = [stratum(score) for score in scores]
    without = {*strata} - {name for name, label in zip(strata, known, strict=True) if label is not None}
    if without:
        return f"{count} labels, none of them of samples that the judge scores {' or '.join(sorted(without))}"
    return prediction_powered(scores, known, strata, groups, confidence)
