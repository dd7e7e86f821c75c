"""Samples to label as a sheet (CSV) that people fill in, and the filled-in sheet back to labels.

The judge's scores are not in it, since whoever sees them follows them. A label is yes or no, or a share between 0 and
1; an empty one is no label.
"""

import csv
import io
from collections.abc import Sequence
from dataclasses import astuple, dataclass
from pathlib import Path

from plait.documents.row_files import BadRow
from plait.documents.row_source import find_rows
from plait.errors import DataError, InvalidInput
from plait.whole_files import write_whole

_COLUMNS = ("id", "question", "reply", "passages", "expected")
_WORDS = {"yes": 1.0, "y": 1.0, "true": 1.0, "no": 0.0, "n": 0.0, "false": 0.0}
_MAX_CELL_CHARACTERS = 32_000  # programs for sheets take 32,767


@dataclass(frozen=True)
class LabelRow:
    """A sample as people see it; `id` names it when the sheet comes back."""

    id: str
    question: str
    reply: str
    passages: str
    expected: str


def write_sheet(file: Path, metric: str, rows: Sequence[LabelRow]) -> None:
    """Write a sheet with an empty column for the labels, which has the metric's name.

    Raises:
        InvalidInput: when the file's name does not end in .csv, or there is no folder for it.
        InsufficientStorage: when the disk is full.
    """
    _check_name(file)
    if not file.parent.is_dir():
        raise InvalidInput(f"There is no folder '{file.parent}' for the sheet.", "Make it, or name another place.")
    written = io.StringIO()
    sheet = csv.writer(written)
    sheet.writerow((*_COLUMNS, metric))
    sheet.writerows((*map(_shown, astuple(row)), "") for row in rows)
    write_whole(file, written.getvalue().encode("utf-8-sig"))  # the mark makes Excel read it as UTF-8


def read_sheet(file: Path, metric: str) -> dict[str, float]:
    """Labels by the sample's id; rows without a label are not among them.

    Raises:
        DataError: when there is no such sheet, a column is lacking, or for the first label that is none, with its line.
    """
    _check_name(file)
    tables = find_rows(str(file))
    labels: dict[str, float] = {}
    for part in tables.parts:
        for row in tables.rows(part):
            try:
                values = row.values()
            except BadRow as error:
                raise DataError(f"{part}:{row.line} {error}.") from None
            if "id" not in values or metric not in values:
                column = "id" if "id" not in values else metric
                raise DataError(
                    f"{part}:{row.line} has no column '{column}'.",
                    "Fill in the sheet as it was written, for this metric.",
                )
            label = str(values[metric] or "").strip()
            if label:
                labels[str(values["id"])] = _label(label, f"{part}:{row.line}")
    return labels


def _check_name(file: Path) -> None:
    if file.suffix.lower() != ".csv":
        raise InvalidInput(f"'{file}' is no sheet.", "Name one that ends in .csv.")


def _label(text: str, place: str) -> float:
    if text.lower() in _WORDS:
        return _WORDS[text.lower()]
    try:
        value = float(text.replace(",", "."))
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:  # also NaN
        raise DataError(f"{place} has the label '{text[:40]}'.", "Write yes, no or a number from 0 to 1.")
    return value


def _shown(text: str) -> str:
    """A text that no program for sheets takes for a formula, as a reply may begin with =."""
    text = text[:_MAX_CELL_CHARACTERS]
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text
