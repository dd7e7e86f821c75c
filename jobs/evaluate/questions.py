"""An eval set: questions with the answers that count as right."""

import unicodedata

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from plait.documents.row_files import SUFFIXES, TEXTS, BadRow, suffix_of
from plait.documents.row_source import find_rows
from plait.errors import DataError
from plait.validation import first_problem


class Question(BaseModel):
    """A row of an eval set. `source`: the document that holds the answer, where it is known."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    question: str = Field(min_length=1)
    answer: str = Field(min_length=1)
    kind: str = ""
    source: str | None = None

    @field_validator("source")
    @classmethod
    def is_named_as_in_an_index(cls, source: str | None) -> str | None:
        return None if source is None else unicodedata.normalize("NFC", source)


def read_questions(source: str) -> list[Question]:
    """Read tables of questions: JSON Lines, JSON, CSV or Parquet, compressed or not, here or in an object store.

    Raises:
        DataError: when there is no such table, it is empty, or for the first bad row, with its line.
    """
    tables = find_rows(source)
    questions = []
    for part in tables.parts:
        if suffix_of(part)[0] in TEXTS:
            endings = ", ".join(suffix for suffix in SUFFIXES if suffix not in TEXTS)
            raise DataError(f"The eval set '{part}' is no table.", f"Set data to one that ends in {endings}.")
        for row in tables.rows(part):
            try:
                values = {name: value for name, value in row.values().items() if value is not None}
                questions.append(Question.model_validate(values))
            except BadRow as error:
                raise DataError(f"{part}:{row.line} {error}.") from None
            except ValidationError as error:
                raise DataError(f"{part}:{row.line} is no question. {first_problem(error, values)}") from None
    if not questions:
        raise DataError(f"The eval set '{source}' holds no questions.", "Write one JSON object a line.")
    return questions
