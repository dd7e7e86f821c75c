"""JSON files beside a run: its manifest, calibrations, labels. In: a path and a type. Out: a value of it, checked."""

from pathlib import Path
from typing import TypeVar

from pydantic import TypeAdapter, ValidationError

from plait.errors import DataError
from plait.validation import why_unreadable

T = TypeVar("T")


def read_kept(file: Path, kind: TypeAdapter[T]) -> T | None:
    """What a file holds; None where there is none.

    Raises:
        DataError: when it cannot be read, or holds something else.
    """
    try:
        return kind.validate_json(file.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValidationError) as error:
        raise DataError(f"'{file}' cannot be read ({why_unreadable(error)}).", "Mend it, or move it away.") from error
