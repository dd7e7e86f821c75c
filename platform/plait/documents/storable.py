"""What an index can hold as a value, said before it is written.

In: a value as JSON has it. Out: nothing, or why no index can hold it. Milvus takes UTF-8, and JSON of few levels; it
refuses a whole batch for one value that is neither, and names no row.
"""

from typing import Any

MAX_DEPTH = 100


def why_not_storable(value: Any, depth: int = 0) -> str | None:
    """Why an index cannot hold a value, as the end of a sentence about it; None: it can.

    `depth`: levels around it.
    """
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError:
            return "holds half a character (a lone surrogate)"
    if isinstance(value, dict | list | tuple):
        if depth == MAX_DEPTH:
            return f"has more than {MAX_DEPTH} levels"
        parts = [*value, *value.values()] if isinstance(value, dict) else value
        return next((why for part in parts if (why := why_not_storable(part, depth + 1))), None)
    return None
