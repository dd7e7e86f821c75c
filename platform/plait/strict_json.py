"""JSON that somebody else wrote, read strictly: numbers are finite, nesting and size have a limit.

In: bytes or a file. Out: the value, or one sentence. Python's own reader takes NaN, Infinity and 1e400, and ends in a
RecursionError at a hundred thousand brackets. This knows nothing of what the value means.
"""

import math
from pathlib import Path
from typing import Any

from pydantic_core import from_json

from plait.errors import InvalidInput


def parse_json(data: bytes | str) -> Any:
    """The value of a JSON text.

    Raises:
        ValueError: one line: what is no JSON (NaN and Infinity are none), nested deeper than 200 levels, half a
            surrogate pair, or a number beyond the range of a double.
    """
    value = from_json(data, allow_inf_nan=False)
    _check_finite(value, "")
    return value


def read_json(file: Path, max_bytes: int) -> Any:
    """The value of a JSON file.

    Raises:
        InvalidInput: names the file, and what is wrong with it.
        OSError: when it cannot be read.
    """
    with file.open("rb") as opened:
        data = opened.read(max_bytes + 1)
    if len(data) > max_bytes:
        raise InvalidInput(f"'{file}' has more than the {max_bytes:,} bytes that such a file may have.")
    try:
        return parse_json(data)
    except ValueError as error:
        raise InvalidInput(f"'{file}' is no valid JSON ({error}).") from None


def _check_finite(value: Any, where: str) -> None:
    """Depth is bounded by the parser."""
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{where.lstrip('.') or 'the number'} is beyond the range of a number")
    if isinstance(value, dict):
        for key, inner in value.items():
            _check_finite(inner, f"{where}.{key}")
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            _check_finite(inner, f"{where}.{index}")
