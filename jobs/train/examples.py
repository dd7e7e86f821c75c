"""Training examples: from JSONL lines to token ids with labels.

In: a file, a chat format, a tokenizer. Out: `Example`s whose labels cover the assistant's words only. A bad line stops
the job before it starts, with its number. It knows nothing of batches or of the model.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from plait.errors import DataError, InvalidInput
from plait.jobs.train.loss import IGNORED
from plait.models.chat import ChatFormat, Message
from plait.models.load import encode_prompt

_ARROW_SCHEMA = pa.schema([("input_ids", pa.list_(pa.int32())), ("labels", pa.list_(pa.int32()))])


@dataclass(frozen=True)
class Conversation:
    """A row of a data file: messages that end with the assistant's, and the line they stand on."""

    messages: tuple[Message, ...]
    line: int

    @property
    def question(self) -> str:
        """The last thing that the user says."""
        return next(m.content for m in reversed(self.messages) if m.role == "user")


@dataclass(frozen=True)
class Example:
    """Token ids of a conversation; `labels` equal them where the assistant speaks, IGNORED elsewhere."""

    input_ids: list[int]
    labels: list[int]

    @property
    def label_count(self) -> int:
        return sum(label != IGNORED for label in self.labels)


class _Turn(BaseModel):
    role: Literal["system", "user", "assistant"]
    content: Annotated[str, Field(min_length=1)]


class _Row(BaseModel):
    """`messages`, or `question` and `answer` as in an eval set; other keys are the user's own."""

    model_config = ConfigDict(extra="ignore")

    messages: list[_Turn] | None = None
    question: str | None = None
    answer: str | None = None

    @model_validator(mode="after")
    def ends_with_an_answer(self) -> "_Row":
        if self.messages is None and (self.question is None or self.answer is None):
            raise ValueError("it needs 'messages', or 'question' and 'answer'")
        roles = [turn.role for turn in self.turns()]
        if "user" not in roles or roles[-1] != "assistant":
            raise ValueError("its messages must hold a user's and end with the assistant's")
        return self

    def turns(self) -> list[_Turn]:
        if self.messages is not None:
            return self.messages
        return [_Turn(role="user", content=self.question or ""), _Turn(role="assistant", content=self.answer or "")]


def read_conversations(path: Path) -> list[Conversation]:
    """Read and check every line of a JSONL file.

    Raises:
        DataError: for a missing or empty file, or the first bad line, with its number and what is wrong with it.
    """
    try:
        lines = path.read_text(encoding="utf-8").split("\n")  # JSON strings may hold other line separators
    except FileNotFoundError:
        raise DataError(f"There is no data file '{path}'.", "Set data.train (or data.eval) to a JSONL file.") from None
    except UnicodeDecodeError as error:
        raise DataError(f"'{path}' is not UTF-8 text (byte {error.start}).") from None
    except OSError as error:
        raise DataError(f"'{path}' cannot be read ({error.strerror}).") from None
    conversations = [_read_line(path, number, line) for number, line in enumerate(lines, start=1) if line.strip()]
    if not conversations:
        raise DataError(f"'{path}' holds no examples.", "Write one JSON object a line.")
    return conversations


def _read_line(path: Path, number: int, line: str) -> Conversation:
    try:
        row = _Row.model_validate(json.loads(line))
        messages = tuple(Message(turn.role, turn.content) for turn in row.turns())
    except json.JSONDecodeError as error:
        raise DataError(f"{path}:{number} is not valid JSON ({error.msg} at column {error.colno}).") from None
    except ValidationError as error:
        first: Any = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        message = first["msg"].removeprefix("Value error, ")
        raise DataError(f"{path}:{number} is no example: {where + ': ' if where else ''}{message}.") from None
    return Conversation(messages, number)


def encode(messages: Sequence[Message], chat_format: ChatFormat, tokenizer: Any) -> Example:
    """Token ids and labels of a conversation, cut exactly where serving will cut it.

    The prompt and the answer are encoded apart, as at serving time, where the model continues an encoded prompt: a
    joint encoding could merge the last token of one with the first of the other.

    Raises:
        InvalidInput: when the chat format rewrites what stood before, so that turns cannot be told apart.
    """
    input_ids: list[int] = []
    labels: list[int] = []
    done = ""
    for index, message in enumerate(messages):
        if message.role != "assistant":
            continue
        prompt = chat_format.render(messages[:index])
        whole = chat_format.render(messages[: index + 1], add_generation_prompt=False)
        if not (prompt.startswith(done) and whole.startswith(prompt)):
            raise InvalidInput(
                f"The chat format '{chat_format.name}' rewrites earlier turns: turn {index + 1} cannot be trained.",
                "Use examples of one question and one answer, or set model.chat_format=plain.",
            )
        asked = prompt.removeprefix(done)
        asked_ids = tokenizer.encode(asked, add_special_tokens=False) if done else encode_prompt(tokenizer, asked)
        answer_ids = tokenizer.encode(whole.removeprefix(prompt), add_special_tokens=False)
        input_ids += asked_ids + answer_ids
        labels += [IGNORED] * len(asked_ids) + answer_ids
        done = whole
    return Example(input_ids, labels)


def encode_all(
    path: Path, conversations: Sequence[Conversation], chat_format: ChatFormat, tokenizer: Any, max_tokens: int
) -> list[Example]:
    """Encode conversations, refusing any that is longer than `max_tokens`.

    Raises:
        DataError: names the line of the first that is too long.
    """
    examples = []
    for conversation in conversations:
        example = encode(conversation.messages, chat_format, tokenizer)
        if len(example.input_ids) > max_tokens:
            raise DataError(
                f"{path}:{conversation.line} is {len(example.input_ids)} tokens long, more than data.max_tokens "
                f"({max_tokens}).",
                "Shorten the example or raise data.max_tokens.",
            )
        examples.append(example)
    return examples


def write_examples(examples: Sequence[Example], path: Path) -> None:
    """Write encoded examples to a Parquet file that every worker reads."""
    columns = {"input_ids": [e.input_ids for e in examples], "labels": [e.labels for e in examples]}
    pq.write_table(pa.table(columns, schema=_ARROW_SCHEMA), path)


def read_examples(path: Path) -> list[Example]:
    """Read what `write_examples` wrote."""
    return [Example(**row) for row in pq.read_table(path).to_pylist()]
