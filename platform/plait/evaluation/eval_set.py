"""An eval set: rows of questions, each with what is known of the right answer.

In: a file, a folder, a pattern, a URI or a hub id, in any format of rows that training data may have. Out: `Question`s,
or one sentence with the place of the first bad row. It knows neither who is asked nor what is measured.
"""

import json
import unicodedata
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from hashlib import sha256
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import (
    AfterValidator,
    AliasChoices,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    model_validator,
)

from plait.documents.row_files import SUFFIXES, TEXTS, BadRow, suffix_of
from plait.documents.row_source import find_rows
from plait.documents.storable import why_not_storable
from plait.errors import DataError
from plait.evaluation.patterns import checked_pattern
from plait.evaluation.sample import Sample, SamplePassage
from plait.models.message import Message
from plait.validation import first_problem

T = TypeVar("T")
_SAME = (("answers", "answer"), ("sources", "source"))


def _as_list(value: Any) -> Any:
    """What may stand for a list: one value; a list as JSON in a text, as in CSV; an object of lists, as SQuAD has."""
    if isinstance(value, str) and value.startswith("["):
        with suppress(ValueError, RecursionError):
            listed = json.loads(value)
            if all(isinstance(each, str | dict) for each in listed):  # [1, 2] may be the answer to a question
                return listed
    if isinstance(value, Mapping) and isinstance(value.get("text"), list):
        return value["text"]
    return value if isinstance(value, list | tuple) else [value]


def _as_passages(value: Any) -> Any:
    passages = [value] if isinstance(value, Mapping) else _as_list(value)
    return [{"text": passage} if isinstance(passage, str) else passage for passage in passages]


def _nfc(name: str) -> str:
    """Names of documents are in this form in an index."""
    return unicodedata.normalize("NFC", name)


Text = Annotated[str, StringConstraints(min_length=1)]
Texts = Annotated[tuple[Text, ...], BeforeValidator(_as_list)]
Pattern = Annotated[Text, AfterValidator(checked_pattern)]
Sources = Annotated[tuple[Annotated[Text, AfterValidator(_nfc)], ...], BeforeValidator(_as_list)]


class RowPassage(BaseModel):
    """A passage as a row has it; a text alone is one."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    text: Text
    source: str = ""


Passages = Annotated[tuple[RowPassage, ...], BeforeValidator(_as_passages)]


class RowMessage(BaseModel):
    """A turn of a conversation as a row has it."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    role: Literal["system", "user", "assistant"]
    content: Text


class Question(BaseModel):
    """A row of an eval set. All but the question is optional; each metric says what it needs.

    Attributes:
        question, messages: what is asked, or the conversation that is; one of them.
        answers: texts of which each counts as right.
        sources: documents that hold the answer, named as in the index.
        kind: a heading that figures are shown under.
        group: questions of one group (of one document, as a rule) are not independent of each other.
        unanswerable: whether the right reply is to decline.
        pattern: a regular expression (RE2) that the whole reply should match.
        passages: passages that hold the answer.
    """

    model_config = ConfigDict(extra="ignore", frozen=True, validate_by_name=True)

    question: str = ""
    messages: tuple[RowMessage, ...] = ()
    answers: Texts = Field((), validation_alias=AliasChoices("answers", "answer"))
    sources: Sources = Field((), validation_alias=AliasChoices("sources", "source"))
    kind: str = ""
    group: str = ""
    unanswerable: bool | None = None
    pattern: Pattern | None = None
    passages: Passages = ()

    @model_validator(mode="before")
    @classmethod
    def has_one_of_two_names(cls, values: Any) -> Any:
        for names in _SAME if isinstance(values, Mapping) else ():
            if all(name in values for name in names):
                raise ValueError(f"It has '{names[0]}' and '{names[1]}', which mean the same: give one of them")
        return values

    @model_validator(mode="after")
    def makes_sense(self) -> Self:
        if not self.question and not self.messages:
            raise ValueError("It needs a question, or messages")
        if self.question and self.messages:
            raise ValueError("It has a question and messages: give one of them")
        if self.messages and self.messages[-1].role != "user":
            raise ValueError("Its messages must end with what the user says")
        if self.unanswerable and self.answers:
            raise ValueError("It is unanswerable and has answers: it cannot be both")
        return self

    @property
    def conversation(self) -> tuple[Message, ...]:
        """What is sent to a model."""
        if self.messages:
            return tuple(Message(message.role, message.content) for message in self.messages)
        return (Message("user", self.question),)

    @property
    def asked(self) -> str:
        """What is asked: the question, or the last thing that the user says."""
        return self.messages[-1].content if self.messages else self.question

    def sample(self, reply: str) -> Sample:
        """A reply to it, without the passages that it was given from."""
        return Sample(
            question=self.asked,
            reply=reply,
            answers=self.answers,
            sources=self.sources,
            reference_passages=tuple(SamplePassage(passage.text, passage.source) for passage in self.passages),
            kind=self.kind,
            group=self.group,
            unanswerable=self.unanswerable,
            pattern=self.pattern,
        )

    def digest(self) -> str:
        """Hex digest of all that the row says."""
        return sha256(self.model_dump_json().encode()).hexdigest()


def read_questions(source: str, limit: int | None = None) -> list[Question]:
    """Read the rows of an eval set, or the first so many.

    Raises:
        DataError: when there is no such table, it is empty, or for the first bad row, with its place.
    """
    return list(read_rows(source, "question", Question.model_validate, limit))


def read_rows(source: str, what: str, parse: Callable[[dict[str, Any]], T], limit: int | None) -> Iterator[T]:
    """Read the rows of a source, or the first so many.

    Args:
        what: a row is, as in "question".
        parse: makes something of the fields of a row that are not null.

    Raises:
        DataError: when there is no such table, it is empty, or for the first bad row, with its place.
    """
    tables = find_rows(source)
    count = 0
    for part in tables.parts:
        if suffix_of(part)[0] in TEXTS:
            endings = ", ".join(suffix for suffix in SUFFIXES if suffix not in TEXTS)
            raise DataError(f"'{part}' is no table of {what}s.", f"Give one that ends in {endings}.")
        for row in tables.rows(part):
            if count == limit:
                return
            try:
                values = {name: value for name, value in row.values().items() if value is not None}
                if (why := why_not_storable(values)) is not None:
                    raise BadRow(why)
                parsed = parse(values)
            except BadRow as error:
                raise DataError(f"{part}:{row.line} {error}.") from None
            except ValidationError as error:
                raise DataError(f"{part}:{row.line} is no {what}. {first_problem(error, values)}") from None
            count += 1
            yield parsed
    if not count:
        raise DataError(f"'{source}' holds no {what}s.", "Write one JSON object a line.")
