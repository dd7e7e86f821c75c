"""A document that could not be read, or not all of it, and why.

Reading raises Unreadable. Its reason becomes that of a failure, which the index keeps in quarantine
(plait.index.quarantine).
"""

from dataclasses import dataclass

NOTED = "note"
"""The step of documents that are in the index, but of which something should be known, such as pages without text."""


@dataclass(frozen=True)
class Failure:
    """A document that could not be read, and why; the reason follows its name and a colon.

    `step` is where it failed: to `read` its bytes, to `parse` them, or to `write` its chunks to the index; or `note`:
    it was read, but see the reason. `content_hash` is that of its version in the index if it could be read; empty when
    not even its bytes were there, or where it is to be tried again as it is.
    """

    source: str
    reason: str
    step: str = "read"
    content_hash: str = ""


class Unreadable(Exception):
    """A document that cannot be read; its text says why, to follow the document's name and a colon."""
