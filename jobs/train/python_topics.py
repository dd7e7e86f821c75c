"""General text that every machine has: the topics of Python's language reference, which `help()` shows.

They lie in Python's standard library (`pydoc_data.topics`; licence of the Python Software Foundation): in Python 3.11
79 texts of prose, lists and code, 465,000 characters. None of it is in general.txt, on which forgetting is measured.
"""

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from plait.documents.raw_rows import RawRow


@dataclass(frozen=True)
class PythonTopics:
    """A `RowSource` of one part: a topic is a row `{"text": …}`."""

    name: str = "Python's language reference"
    parts: Sequence[str] = ("pydoc_data.topics",)

    def rows(self, part: str) -> Iterator[RawRow]:
        from pydoc_data.topics import topics

        for number, name in enumerate(sorted(topics), start=1):
            yield RawRow(part, number, json.dumps({"text": topics[name]}))

    def notes(self) -> Iterator[str]:
        return iter(())

    def fingerprint(self) -> str:
        digest = hashlib.sha256()
        for part in self.parts:
            for row in self.rows(part):
                digest.update(row.text.encode())
        return digest.hexdigest()
