"""What a row of training data may look like, and what it means.

In: the fields of a row. Out: a `Conversation`, a `Text` or a `Preference`, or a sentence that says what it lacks. It
knows nothing of files, tokens or chat formats. Turns: turns.py.

    {"messages": [{"role": "user", "content": …}, {"role": "assistant", "content": …}]}     or "conversations"
    {"question": …, "answer": …}    one of question, prompt, instruction, query; one of answer, completion, output,
                                    response; texts, or lists of messages
    {"instruction": …, "input": …, "output": …, "history": [[…, …]]}                        Alpaca
    {"instruction": …, "context": …, "response": …}                                         Dolly
    {"text": …}
    {"prompt": …, "chosen": …, "rejected": …}                                               preferences

Beside each but a text: "system", and "tools" (or "functions").
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any, NamedTuple

from plait.jobs.train.fields import BadRow, Fields, checked_text
from plait.jobs.train.turns import Turn, parse_tools, parse_turns
from plait.models.message import Message, Role
from plait.models.tools import Tool
from plait.recipes import DpoConfig, ObjectiveConfig, PretrainConfig, SftConfig


@dataclass(frozen=True)
class Conversation:
    """Messages that end with the assistant's.

    Args:
        messages: what was said.
        tools: what the assistant may call.
        unlearned: numbers of the assistant's messages, from 0, that are context only. (Of the assistant's, because
            retrieved passages may add a message before them.)
    """

    messages: tuple[Message, ...]
    tools: tuple[Tool, ...] = ()
    unlearned: frozenset[int] = frozenset()

    @property
    def turns(self) -> list[int]:
        """Places of the assistant's messages."""
        return [place for place, message in enumerate(self.messages) if message.role == "assistant"]

    @property
    def learned_turns(self) -> list[int]:
        """Places of those that are learned."""
        return [place for number, place in enumerate(self.turns) if number not in self.unlearned]

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


class ParsedRow(NamedTuple):
    """What a row means, and the names of the fields that mean nothing here."""

    meaning: Conversation | Text | Preference
    unused: frozenset[str]


_LISTS = ("messages", "conversations")
# Question and answer that belong together, the surest first. Of several questions, the answer's own is asked.
_PAIRS = (
    ("question", "answer"),
    ("prompt", "completion"),
    ("instruction", "output"),
    ("query", "response"),
    ("instruction", "response"),
)
_QUESTIONS = ("question", "prompt", "instruction", "query", "input")
_ANSWERS = ("answer", "completion", "output", "response")
_MATERIAL = ("input", "context")
_SYSTEM = ("system", "system_prompt")
_MEDIA = ("image", "images", "audio", "audios", "video", "videos")
# A conversation means something else with these, so they are not passed over as other fields are.
_NOT_SUPPORTED = frozenset((*_MEDIA, *_SYSTEM, "tools", "functions", "history", "chat_template_kwargs"))
_WEIGHTS = ("train", "weight")
_WHOLE = ("1", "1.0", "true")


def parse_row(values: dict[str, Any], objective: ObjectiveConfig) -> ParsedRow:
    """What a row means under an objective; a null is no value.

    Of a row that is both, fine-tuning takes the conversation (its `text` is often that conversation in another
    template), pre-training the text.

    Raises:
        BadRow: says what the row lacks, or which field of it would be lost.
    """
    fields = Fields(values)
    unused: set[str] = set()
    meaning = _meaning(fields, objective, unused)
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


def _meaning(fields: Fields, objective: ObjectiveConfig, unused: set[str]) -> Conversation | Text | Preference:
    if isinstance(objective, DpoConfig):
        return _preference(fields, objective, unused)
    if "text" in fields and isinstance(objective, PretrainConfig):
        return Text(fields.text("text"))
    question, answer = _pair_of(fields)
    if fields.first_of(_LISTS):
        turns = _listed(fields, unused)
    elif question and answer:
        turns = [*_asked(fields, question, unused), *_said(fields, answer, "assistant", unused)]
    else:
        turns = []
    if fields.first_of(_LISTS) or turns:
        return _conversation(_with_system(fields, turns), _tools(fields, unused), objective)
    if "text" in fields:
        return Text(fields.text("text"))
    if isinstance(objective, PretrainConfig):
        raise BadRow("is no text: it needs 'text', or a conversation")
    raise BadRow("is no example: it needs 'messages', 'question' and 'answer', 'prompt' and 'completion', or 'text'")


def _preference(fields: Fields, objective: ObjectiveConfig, unused: set[str]) -> Preference:
    if "chosen" not in fields or "rejected" not in fields:
        raise BadRow("is no preference: it needs 'prompt', 'chosen' and 'rejected'")
    has_list = fields.first_of(_LISTS) is not None
    asked = _listed(fields, unused) if has_list else _asked(fields, fields.first_of(_QUESTIONS), unused)
    tools = _tools(fields, unused)

    def answered(name: str) -> Conversation:
        said = _said(fields, name, "assistant", unused)
        # What does not begin with an answer is a whole conversation: it holds the prompt, given beside it or not.
        is_whole = bool(said) and said[0].message.role != "assistant"
        if is_whole and not has_list:  # a list beside it is often one of the two, as in UltraFeedback
            _check_holds(said, asked, name)
        return _conversation(_with_system(fields, said if is_whole else [*asked, *said]), tools, objective)

    chosen, rejected = answered("chosen"), answered("rejected")
    if chosen.messages[:-1] != rejected.messages[:-1]:
        raise BadRow("is no preference: 'chosen' and 'rejected' answer different prompts")
    if chosen.messages[-1] == rejected.messages[-1]:
        raise BadRow("is no preference: 'chosen' and 'rejected' are the same")
    return Preference(chosen, rejected)


def _check_holds(said: Sequence[Turn], asked: Sequence[Turn], name: str) -> None:
    """Refuse a whole conversation without what is asked beside it; how that is joined there does not matter."""
    held = " ".join(word for turn in said for word in turn.message.content.split())
    for turn in asked:
        for paragraph in turn.message.content.split("\n\n"):
            if (words := " ".join(paragraph.split())) not in held:
                raise BadRow(
                    f"is no preference: {name} is a whole conversation, and {words!r:.60}, which is asked beside it, "
                    "does not stand there"
                )


def _pair_of(fields: Fields) -> tuple[str | None, str | None]:
    """The names of the question and of the answer: those of a pair where there is one, else the first of each."""
    own = next((pair for pair in _PAIRS if all(name in fields for name in pair)), None)
    return own or (fields.first_of(_QUESTIONS), fields.first_of(_ANSWERS))


def _listed(fields: Fields, unused: set[str]) -> list[Turn]:
    """The turns of a list of messages."""
    name = fields.first_of(_LISTS)
    return parse_turns(fields.listed(name), name, unused) if name else []


def _asked(fields: Fields, name: str | None, unused: set[str]) -> list[Turn]:
    """The turns before an answer: history, and the question of this name with its material."""
    if name is None:
        return []
    question = _said(fields, name, "user", unused)
    material = [text for key in _MATERIAL if key != name and (text := fields.text_or_nothing(key))]
    if material:
        if len(question) != 1:
            raise BadRow(f"is no example: {name} is a conversation, and {' and '.join(_MATERIAL)} have no place in one")
        text = "\n\n".join([question[0].message.content, *material])
        question = [Turn(Message("user", text), question[0].weight)]
    return [*_history(fields), *question]


def _history(fields: Fields) -> list[Turn]:
    """Alpaca's: pairs of what the user said and what the assistant answered."""
    turns = []
    for number, pair in enumerate(fields.listed("history")):
        if not (isinstance(pair, list) and len(pair) == 2):
            raise BadRow(f"is no example: history.{number} is no pair of question and answer")
        asked, said = (checked_text(text, f"history.{number}.{index}") for index, text in enumerate(pair))
        turns += [Turn(Message("user", asked)), Turn(Message("assistant", said))]
    return turns


def _said(fields: Fields, name: str, role: Role, unused: set[str]) -> list[Turn]:
    """A field that is one message's text, a message, or a list of messages."""
    value = fields.take(name)
    if isinstance(value, dict):
        value = [value]
    return parse_turns(value, name, unused) if isinstance(value, list) else [Turn(Message(role, fields.text(name)))]


def _with_system(fields: Fields, turns: list[Turn]) -> list[Turn]:
    name = fields.first_of(_SYSTEM)
    text = fields.text_or_nothing(name) if name else ""
    if not text:
        return turns
    if turns and turns[0].message.role == "system":
        if turns[0].message.content != text:
            raise BadRow(f"is no example: {name} and the first message are two system messages")
        return turns
    return [Turn(Message("system", text)), *turns]


def _tools(fields: Fields, unused: set[str]) -> tuple[Tool, ...]:
    name = fields.first_of(("tools", "functions"))
    return parse_tools(fields.listed(name), name, unused) if name else ()


def _conversation(turns: Sequence[Turn], tools: tuple[Tool, ...], objective: ObjectiveConfig) -> Conversation:
    messages = tuple([turn.message for turn in turns])
    roles = [message.role for message in messages]
    if "user" not in roles or roles[-1] != "assistant":
        raise BadRow("is no example: its messages must hold a user's and end with the assistant's")
    _check_weights(turns, objective)
    weights = [turn.weight for turn in turns if turn.message.role == "assistant"]
    return Conversation(messages, tools, frozenset([n for n, weight in enumerate(weights) if weight is False]))


def _check_weights(turns: Sequence[Turn], objective: ObjectiveConfig) -> None:
    """Refuse weights that the objective cannot follow."""
    if all(turn.weight is None for turn in turns):
        return
    learns_all = isinstance(objective, PretrainConfig) or (
        isinstance(objective, SftConfig) and objective.loss_on == "all"
    )
    for number, turn in enumerate(turns):
        if turn.message.role != "assistant" and turn.weight is (not learns_all):
            raise BadRow(
                f"cannot be learned as it is meant: the weight of turn {number + 1} ({turn.message.role}) is "
                f"{int(not learns_all)}, but with this objective "
                + ("every such turn is learned" if learns_all else "only the assistant's turns are learned")
            )
        if turn.weight is False and isinstance(objective, PretrainConfig):
            raise BadRow(f"cannot be learned as it is meant: turn {number + 1} has weight 0; pre-training learns all")
    if isinstance(objective, DpoConfig) and turns[-1].weight is False:
        raise BadRow("is no preference: the answer has weight 0")
    if all(turn.weight is False for turn in turns if turn.message.role == "assistant") and not learns_all:
        raise BadRow("has nothing to learn: every turn of the assistant has weight 0")


def row_of(conversation: Conversation) -> dict[str, Any]:
    """The fields of a row that means this conversation."""
    messages, answers = [], count()
    for message in conversation.messages:
        is_unlearned = message.role == "assistant" and next(answers) in conversation.unlearned
        fields = {
            "role": message.role,
            "content": message.content,
            "tool_calls": [call.as_template() for call in message.tool_calls],
            "tool_call_id": message.tool_call_id,
            "name": message.name,
            "reasoning_content": message.reasoning,
            "weight": 0 if is_unlearned else None,
        }
        messages.append({name: value for name, value in fields.items() if value not in ("", [], None)})
    return {"messages": messages, "tools": [tool.as_template() for tool in conversation.tools]}
