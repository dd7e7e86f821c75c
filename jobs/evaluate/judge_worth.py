"""What is known of the judge of a run: its calibration, and labels of people, as they lie beside runs.

In: the folders that may have them. Out: a sentence for each metric that asks the judge, and labels by metric. Nothing
is judged here.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from plait.evaluation.calibration.calibration import Calibration, read_calibrations, worth_beside
from plait.evaluation.labels.kept import MetricLabels, read_labels


@dataclass(frozen=True)
class JudgeWorth:
    """What a judge's verdicts are worth.

    Attributes:
        sentences: by metric; a metric that asks no judge has none.
        labels: by metric, those that were chosen by this judge's scores.
        calibration: None: there is none.
    """

    sentences: dict[str, str] = field(default_factory=dict)
    labels: dict[str, MetricLabels] = field(default_factory=dict)
    calibration: Calibration | None = None

    @classmethod
    def read(cls, judge: str, metrics: Sequence[str], of_run: Sequence[Path], of_data: Sequence[Path]) -> Self:
        """What folders hold of a judge.

        Args:
            of_run: folders whose labels are of these trials.
            of_data: folders of other runs on the same data, newest first, whose calibrations count, too.

        Raises:
            DataError: when a file of calibrations or labels cannot be read.
        """
        calibrations = (read_calibrations(folder).get(judge) for folder in (*of_run, *of_data))
        calibration = next((found for found in calibrations if found is not None), None)
        said = {metric: worth_beside(metric, calibration) for metric in metrics}
        labels = {
            metric: given for folder in of_run for metric, given in read_labels(folder).items() if given.judge == judge
        }
        sentences = {metric: sentence for metric, sentence in said.items() if sentence is not None}
        return cls(sentences, labels, calibration)
