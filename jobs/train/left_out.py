"""Rows of the training data that are left out, kept whole in a file of their own.

In: rows that cannot be used. Out: a JSONL file that says of each where it stands, why it is left out, and what it is.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class LeftOutRow:
    """A row that is not used. `text`: as it stands in its file, or as JSON."""

    file: str
    line: int
    reason: str
    text: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line} {self.reason}"

    def as_json(self) -> str:
        """One line: file, line, reason and row; the row is an object where it is one."""
        try:
            row: Any = json.loads(self.text)
        except (ValueError, RecursionError):
            row = self.text
        return json.dumps({"file": self.file, "line": self.line, "reason": self.reason, "row": row})


class LeftOutRows:
    """The file, which is there only if there are such rows; it replaces that of an earlier attempt."""

    def __init__(self, file: Path) -> None:
        self.file = file
        file.unlink(missing_ok=True)

    def add(self, row: LeftOutRow) -> None:
        with self.file.open("a", encoding="utf-8") as file:
            file.write(row.as_json() + "\n")
