"""The port `LabelPlace`: where people label samples. It is a sheet, or a review queue of MLflow."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from plait.errors import InvalidInput
from plait.evaluation.labels.sheet import LabelRow, read_sheet, write_sheet


class LabelPlace(Protocol):
    """The samples of a run and a metric, in one place.

    Attributes:
        title: as in "The sheet 'labels.csv'".
        how_to: what people do there, as a sentence without its point.
    """

    @property
    def title(self) -> str: ...

    @property
    def how_to(self) -> str: ...

    def read(self) -> dict[str, float] | None:
        """Labels by the sample's id; None: no samples have been put there yet.

        Raises:
            DataError: for a label that is none.
        """
        ...

    def write(self, rows: Sequence[LabelRow]) -> None:
        """Put samples there."""
        ...


@dataclass(frozen=True)
class Sheet:
    """A CSV file with a column that has the metric's name."""

    file: Path
    metric: str

    @property
    def title(self) -> str:
        return f"The sheet '{self.file}'"

    @property
    def how_to(self) -> str:
        return f"Fill in the column {self.metric} of '{self.file}' with yes, no or a share from 0 to 1"

    def read(self) -> dict[str, float] | None:
        """See `LabelPlace`."""
        return read_sheet(self.file, self.metric) if self.file.exists() else None

    def write(self, rows: Sequence[LabelRow]) -> None:
        """See `LabelPlace`; also raises what `write_sheet` does."""
        write_sheet(self.file, self.metric, rows)


def label_place(run: Path, metric: str, sheet: Path | None, to: str | None) -> LabelPlace:
    """Where somebody wants to label.

    Raises:
        InvalidInput: when it is not one place, or none that there is.
    """
    if sheet is not None and to is None:
        return Sheet(sheet, metric)
    if sheet is None and to == "mlflow":
        from plait.evaluation.labels.review_queue import ReviewQueue

        return ReviewQueue(run.resolve().name, metric)
    raise InvalidInput(
        "It is not said where samples are labelled, or twice."
        if to in (None, "mlflow")
        else f"'--to {to}' is no place for labels.",
        "Name a sheet (labels.csv), or give --to mlflow and no sheet.",
    )
