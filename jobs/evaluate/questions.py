"""An eval set: questions with the answers that count as right."""

import json
import unicodedata
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from plait.errors import DataError


class Question(BaseModel):
    """A line of an eval set. `source`: the document that holds the answer, where it is known."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    question: str = Field(min_length=1)
    answer: str = Field(min_length=1)
    kind: str = ""
    source: str | None = None

    @field_validator("source")
    @classmethod
    def is_named_as_in_an_index(cls, source: str | None) -> str | None:
        return None if source is None else unicodedata.normalize("NFC", source)


def read_questions(path: Path) -> list[Question]:
    """Read a JSONL file of questions.

    Raises:
        DataError: for a missing or empty file, or the first bad line, with its number.
    """
    try:
        # Not splitlines(): it also splits at characters that JSON allows inside a string, such as U+2028.
        lines = path.read_text(encoding="utf-8").split("\n")
    except OSError as error:
        raise DataError(
            f"The eval set '{path}' cannot be read ({error.strerror}).", "Set data to a JSONL file."
        ) from None
    except UnicodeDecodeError as error:
        raise DataError(f"The eval set '{path}' is not UTF-8 text (byte {error.start}).") from None
    questions = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            questions.append(Question.model_validate(json.loads(line)))
        except json.JSONDecodeError as error:
            raise DataError(f"{path}:{number} is not valid JSON ({error.msg} at column {error.colno}).") from None
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"]))
            raise DataError(f"{path}:{number} is no question: {where + ': ' if where else ''}{first['msg']}.") from None
    if not questions:
        raise DataError(f"The eval set '{path}' holds no questions.", "Write one JSON object a line.")
    return questions
