"""What a row of training data may look like, and what it means.

In: the fields of a row. Out: a `Conversation`, a `Text` or a `Preference`, or a sentence that says what it lacks. It
knows nothing of files, tokens or chat formats.

    {"messages": [{"role": "user", "content": …}, {"role": "assistant", "content": …}]}
    {"question": …, "answer": …}    {"prompt": …, "completion": …}
    {"instruction": …, "input": …, "output": …}                              Alpaca
    {"conversations": [{"from": "human", "value": …}, {"from": "gpt", …}]}   ShareGPT
    {"text": …}
    {"prompt": …, "chosen": …, "rejected": …}                                preferences, strings or messages
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from plait.models.chat import Message, Role
from plait.recipes import DpoConfig, ObjectiveConfig, PretrainConfig


@dataclass(frozen=True)
class Conversation:
    """Messages that end with the assistant's."""

    messages: tuple[Message, ...]

    @property
    def question(self) -> str:
        """The last thing that the user says."""
        return next(m.content for m in reversed(self.messages) if m.role == "user")


@dataclass(frozen=True)
class Text:
    """Plain text."""

    text: str


@dataclass(frozen=True)
class Preference:
    """Two conversations that differ only in the assistant's last message."""

    chosen: Conversation
    rejected: Conversation


class BadRow(ValueError):
    """A row that cannot be used; its text goes after 'file:line '."""


NonEmpty = Annotated[str, Field(min_length=1)]


class _Turn(BaseModel):
    role: Literal["system", "user", "assistant"]
    content: NonEmpty


class _ShareGptTurn(BaseModel):
    model_config = ConfigDict(populate_by_name=True)

    speaker: Literal["system", "human", "user", "gpt", "assistant"] = Field(alias="from")
    value: NonEmpty


_SHAREGPT_ROLES: dict[str, Role] = {
    "system": "system",
    "human": "user",
    "user": "user",
    "gpt": "assistant",
    "assistant": "assistant",
}
_TURNS = TypeAdapter(list[_Turn])
_SHAREGPT_TURNS = TypeAdapter(list[_ShareGptTurn])
_STRING = TypeAdapter(NonEmpty)


def parse_row(fields: dict[str, Any], objective: ObjectiveConfig) -> Conversation | Text | Preference:
    """What a row means under an objective; keys that no format knows are the user's own, and a null is no value.

    Of a row that is both, fine-tuning takes the conversation (its `text` is often that conversation in another
    template), pre-training the text.

    Raises:
        BadRow: says what the row lacks.
    """
    fields = {key: value for key, value in fields.items() if value is not None}
    if isinstance(objective, DpoConfig):
        return _preference(fields)
    if "text" in fields and isinstance(objective, PretrainConfig):
        return Text(_string(fields, "text"))
    for keys, parse in _CONVERSATIONS:
        if all(key in fields for key in keys):
            return parse(fields)
    if "text" in fields:
        return Text(_string(fields, "text"))
    if isinstance(objective, PretrainConfig):
        raise BadRow("is no text: it needs 'text', or a conversation")
    raise BadRow("is no example: it needs 'messages', 'question' and 'answer', 'prompt' and 'completion', or 'text'")


def _preference(fields: dict[str, Any]) -> Preference:
    if not {"chosen", "rejected"} <= fields.keys():
        raise BadRow("is no preference: it needs 'prompt', 'chosen' and 'rejected'")
    prompt = _said(fields, "prompt", "user") if "prompt" in fields else ()
    chosen, rejected = (_answered(prompt, _said(fields, key, "assistant")) for key in ("chosen", "rejected"))
    if chosen.messages[:-1] != rejected.messages[:-1]:
        raise BadRow("is no preference: 'chosen' and 'rejected' answer different prompts")
    if chosen.messages[-1] == rejected.messages[-1]:
        raise BadRow("is no preference: 'chosen' and 'rejected' are the same")
    return Preference(chosen, rejected)


def _answered(prompt: tuple[Message, ...], said: tuple[Message, ...]) -> Conversation:
    """What does not begin with an answer is a whole conversation: it holds the prompt, given beside it or not."""
    is_whole = bool(said) and said[0].role != "assistant"
    return _conversation(said if is_whole else (*prompt, *said))


def _said(fields: dict[str, Any], key: str, role: Role) -> tuple[Message, ...]:
    """A field that is one message's text, or a list of messages."""
    value = fields[key]
    return _turns(fields, key) if isinstance(value, list) else (Message(role, _string(fields, key)),)


def _question_and_answer(question: str, answer: str) -> Callable[[dict[str, Any]], Conversation]:
    def parse(fields: dict[str, Any]) -> Conversation:
        return _conversation((*_said(fields, question, "user"), *_said(fields, answer, "assistant")))

    return parse


def _alpaca(fields: dict[str, Any]) -> Conversation:
    asked = _string(fields, "instruction")
    if fields.get("input"):
        asked += "\n\n" + _string(fields, "input")
    return _conversation((Message("user", asked), Message("assistant", _string(fields, "output"))))


def _sharegpt(fields: dict[str, Any]) -> Conversation:
    turns = _checked(_SHAREGPT_TURNS, fields["conversations"], "conversations")
    return _conversation(tuple(Message(_SHAREGPT_ROLES[t.speaker], t.value) for t in turns))


_CONVERSATIONS: list[tuple[tuple[str, ...], Callable[[dict[str, Any]], Conversation]]] = [
    (("messages",), lambda fields: _conversation(_turns(fields, "messages"))),
    (("conversations",), _sharegpt),
    (("question", "answer"), _question_and_answer("question", "answer")),
    (("prompt", "completion"), _question_and_answer("prompt", "completion")),
    (("instruction", "output"), _alpaca),
]


def _conversation(messages: tuple[Message, ...]) -> Conversation:
    roles = [message.role for message in messages]
    if "user" not in roles or roles[-1] != "assistant":
        raise BadRow("is no example: its messages must hold a user's and end with the assistant's")
    return Conversation(messages)


def _turns(fields: dict[str, Any], key: str) -> tuple[Message, ...]:
    return tuple(Message(turn.role, turn.content) for turn in _checked(_TURNS, fields[key], key))


def _string(fields: dict[str, Any], key: str) -> str:
    text: str = _checked(_STRING, fields[key], key)
    return text


def _checked(kind: TypeAdapter[Any], value: Any, key: str) -> Any:
    try:
        return kind.validate_python(value)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join([key, *map(str, first["loc"])])
        raise BadRow(f"is no example: {where}: {first['msg']}") from None
