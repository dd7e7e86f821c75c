"""An eval set: questions with the answers that count as right."""

import unicodedata
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from plait.errors import DataError
from plait.jobs.train.fields import BadRow
from plait.jobs.train.readers import TABLES, DataFile, is_table, read_rows


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


def read_questions(path: Path) -> list[Question]:
    """Read a table of questions: JSON Lines, JSON, CSV or Parquet, compressed or not.

    Raises:
        DataError: for a missing or empty file, or the first bad row, with its line.
    """
    if not path.is_file():
        why = "is a folder" if path.is_dir() else "is no file" if path.exists() else "does not exist"
        raise DataError(f"The eval set '{path}' {why}.", f"Set data to a file that ends in {', '.join(TABLES)}.")
    if not is_table(path.name):
        raise DataError(f"The eval set '{path}' is no table.", f"Set data to a file that ends in {', '.join(TABLES)}.")
    questions = []
    for row in read_rows(DataFile(str(path))):
        try:
            values = {name: value for name, value in row.values().items() if value is not None}
            questions.append(Question.model_validate(values))
        except BadRow as error:
            raise DataError(f"{path}:{row.line} {error}.") from None
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"]))
            what = f"{where + ': ' if where else ''}{first['msg']}"
            raise DataError(f"{path}:{row.line} is no question: {what}.") from None
    if not questions:
        raise DataError(f"The eval set '{path}' holds no questions.", "Write one JSON object a line.")
    return questions
