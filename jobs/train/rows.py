"""What a row of training data may look like, and what it means.

In: the fields of a row. Out: a `Conversation`, or its parts, for the objectives to put together, or a sentence that
says what the row lacks. It knows nothing of files, tokens or chat formats. Turns: turns.py.

    {"messages": [{"role": "user", "content": …}, {"role": "assistant", "content": …}]}     or "conversations"
    {"question": …, "answer": …}    one of question, prompt, instruction, query; one of answer, completion, output,
                                    response; texts, or lists of messages
    {"instruction": …, "input": …, "output": …, "history": [[…, …]]}                        Alpaca
    {"instruction": …, "context": …, "response": …}                                         Dolly
    {"text": …}
    {"prompt": …, "chosen": …, "rejected": …}                                               preferences
    {"input": {"messages": […]}, "preferred_output": […], "non_preferred_output": […]}      OpenAI's (objectives/dpo.py)

Beside each but a text: "system", and "tools" (or "functions").
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any

from plait.documents.row_files import BadRow
from plait.jobs.train.fields import Fields, checked_text
from plait.jobs.train.turns import Turn, parse_tools, parse_turns
from plait.models.message import Message, Role
from plait.models.tools import Tool


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
SYSTEM_FIELDS = ("system", "system_prompt")


def read_conversation(
    fields: Fields, unused: set[str], learns_all: bool, may_leave_out: bool = True
) -> Conversation | None:
    """The conversation of a row, whichever way it is written; None where it has none.

    Args:
        fields: of the row.
        unused: gets the names of keys within fields that mean nothing here.
        learns_all, may_leave_out: as in `conversation_of`.

    Raises:
        BadRow: when it is no conversation that can be learned.
    """
    question, answer = _pair_of(fields)
    if has_messages(fields):
        turns = _listed(fields, unused)
    elif question and answer:
        turns = [*_asked(fields, question, unused), *said_turns(fields, answer, "assistant", unused)]
        if not turns:
            return None
    else:
        return None
    return conversation_of(with_system(fields, turns), tools_of(fields, unused), learns_all, may_leave_out)


def has_messages(fields: Fields) -> bool:
    """Whether a row has a list of messages."""
    return fields.first_of(_LISTS) is not None


def prompt_turns(fields: Fields, unused: set[str]) -> list[Turn]:
    """The turns of a row before its answer: its messages where it has some, else its question with what belongs to it.

    Raises:
        BadRow: when they are none.
    """
    return _listed(fields, unused) if has_messages(fields) else _asked(fields, fields.first_of(_QUESTIONS), unused)


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
    question = said_turns(fields, name, "user", unused)
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


def said_turns(fields: Fields, name: str, role: Role, unused: set[str]) -> list[Turn]:
    """The turns of a field that is one message's text, a message, or a list of messages."""
    value = fields.take(name)
    if isinstance(value, dict):
        value = [value]
    return parse_turns(value, name, unused) if isinstance(value, list) else [Turn(Message(role, fields.text(name)))]


def with_system(fields: Fields, turns: list[Turn]) -> list[Turn]:
    name = fields.first_of(SYSTEM_FIELDS)
    text = fields.text_or_nothing(name) if name else ""
    if not text:
        return turns
    if turns and turns[0].message.role == "system":
        if turns[0].message.content != text:
            raise BadRow(f"is no example: {name} and the first message are two system messages")
        return turns
    return [Turn(Message("system", text)), *turns]


def tools_of(fields: Fields, unused: set[str]) -> tuple[Tool, ...]:
    name = fields.first_of(("tools", "functions"))
    return parse_tools(fields.listed(name), name, unused) if name else ()


def conversation_of(
    turns: Sequence[Turn], tools: tuple[Tool, ...], learns_all: bool = False, may_leave_out: bool = True
) -> Conversation:
    """The conversation that turns make.

    Args:
        turns: in order.
        tools: what the assistant may call.
        learns_all: the objective learns every turn, not only the assistant's.
        may_leave_out: the objective can leave out an assistant's turn that has weight 0.

    Raises:
        BadRow: when it does not end with the assistant's turn, or the objective cannot follow the turns' weights.
    """
    messages = tuple([turn.message for turn in turns])
    roles = [message.role for message in messages]
    if "user" not in roles or roles[-1] != "assistant":
        raise BadRow("is no example: its messages must hold a user's and end with the assistant's")
    _check_weights(turns, learns_all, may_leave_out)
    weights = [turn.weight for turn in turns if turn.message.role == "assistant"]
    return Conversation(messages, tools, frozenset([n for n, weight in enumerate(weights) if weight is False]))


def _check_weights(turns: Sequence[Turn], learns_all: bool, may_leave_out: bool) -> None:
    """Refuse weights that the objective cannot follow."""
    if all(turn.weight is None for turn in turns):
        return
    for number, turn in enumerate(turns):
        if turn.message.role != "assistant" and turn.weight is (not learns_all):
            raise BadRow(
                f"cannot be learned as it is meant: the weight of turn {number + 1} ({turn.message.role}) is "
                f"{int(not learns_all)}, but with this objective "
                + ("every such turn is learned" if learns_all else "only the assistant's turns are learned")
            )
        if turn.weight is False and not may_leave_out:
            raise BadRow(
                f"cannot be learned as it is meant: turn {number + 1} has weight 0; this objective learns every turn"
            )
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
