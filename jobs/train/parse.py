"""What a row means under the objective of a run, and which of its fields mean nothing.

In: the fields of a row. Out: what the objective makes of them, or a sentence that says what the row lacks. A field
whose meaning would be lost makes a row bad; any other that nobody uses is told.
"""

from typing import Any, NamedTuple

from plait.documents.row_files import BadRow
from plait.jobs.train.fields import Fields
from plait.jobs.train.objectives.objective import Objective
from plait.jobs.train.rows import SYSTEM_FIELDS, Text

_MEDIA = ("image", "images", "audio", "audios", "video", "videos")
# A conversation means something else with these, so they are not passed over as other fields are.
_NOT_SUPPORTED = frozenset((*_MEDIA, *SYSTEM_FIELDS, "tools", "functions", "history", "chat_template_kwargs"))
_WEIGHTS = ("train", "weight")
_WHOLE = ("1", "1.0", "true")


class ParsedRow(NamedTuple):
    """What a row means, and the names of the fields that mean nothing here."""

    meaning: Any
    unused: frozenset[str]


def parse_row(values: dict[str, Any], objective: Objective) -> ParsedRow:
    """What a row means under an objective; a null is no value.

    Raises:
        BadRow: says what the row lacks, or which field of it would be lost.
    """
    fields = Fields(values)
    unused: set[str] = set()
    meaning = objective.parse(fields, unused)
    is_text = isinstance(meaning, Text)
    for name, value in fields.unused():
        if name in (_MEDIA if is_text else _NOT_SUPPORTED):
            raise BadRow(f"cannot be learned as it is meant: {name} is not supported here")
        said = str(value).strip().lower()  # a CSV has texts only
        is_unwanted = name == "label" and said == "false" and not is_text  # KTO's
        if is_unwanted or (name in _WEIGHTS and said not in _WHOLE):
            raise BadRow(
                f"cannot be learned as it is meant: {name} is {value!s:.60}, and a row is learned whole or not at all; "
                f"leave such rows, or the field {name}, out of the file"
            )
        unused.add(name)
    return ParsedRow(meaning, frozenset(unused))
