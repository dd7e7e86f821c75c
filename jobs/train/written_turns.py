"""The assistant's turns as a chat format writes them: the prompt that serving would send, and what continues it.

In: a `Conversation` and a chat format. Out: prompt and answer of each turn, as texts. Each prompt is what the format
makes of the conversation at that moment: some formats (Qwen 3's, DeepSeek R1's) write earlier turns without what the
assistant thought, so a later prompt need not begin with an earlier one. It knows no tokens.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from plait.documents.row_files import BadRow
from plait.errors import InvalidInput
from plait.jobs.train.marks import THOUGHT, Marked, marked
from plait.jobs.train.rows import Conversation
from plait.models.chat import ChatFormat
from plait.models.message import Message

_THINK = "<think>"
_SHOWN_CHARACTERS = 30


@dataclass(frozen=True)
class WrittenTurn:
    """What is sent to the model, and what it should continue with; `is_learned`: False for context only.

    The answer is empty where nothing could be asked: then the prompt is the turn itself.
    """

    prompt: str
    answer: str
    is_learned: bool


def written(conversation: Conversation, chat_format: ChatFormat) -> str:
    """The whole conversation as one text.

    Raises:
        BadRow: when the chat format cannot write it, or leaves out a part of what was said.
    """
    messages = conversation.messages
    text = _rendered(conversation, chat_format, len(messages), is_prompt=False)
    marks = [
        marked(message, place)
        for place, message in enumerate(messages)
        if message.role == "assistant" or chat_format.quoted(message.content.strip()) not in text
    ]
    _check_all_is_written(marks, _with_marks(conversation, chat_format, marks, len(messages)), chat_format)
    return text


def written_turns(conversation: Conversation, chat_format: ChatFormat, places: Sequence[int]) -> Iterator[WrittenTurn]:
    """The turns at these places among the messages.

    Raises:
        BadRow: when the chat format cannot write one, leaves out a part of one that is learned, or writes no answer
            that continues its prompt.
    """
    learned = set(conversation.learned_turns)
    for place in places:
        try:
            turn = _written_turn(conversation, chat_format, place, place in learned)
        except BadRow:
            if place in learned or any(message.role != "system" for message in conversation.messages[:place]):
                raise
            # A greeting that is not learned: the next prompt begins with it.
            turn = WrittenTurn(_rendered(conversation, chat_format, place + 1, is_prompt=False), "", is_learned=False)
        yield turn


def _written_turn(conversation: Conversation, chat_format: ChatFormat, place: int, is_learned: bool) -> WrittenTurn:
    message = conversation.messages[place]
    prompt = _rendered(conversation, chat_format, place, is_prompt=True)
    whole = _rendered(conversation, chat_format, place + 1, is_prompt=False)
    answer = _continuation(prompt, whole, message, chat_format)
    if answer is None:
        at = next((i for i, (a, b) in enumerate(zip(prompt, whole, strict=False)) if a != b), len(whole))
        remedy = "" if chat_format.name == "plain" else "; set model.chat_format=plain"
        raise BadRow(
            f"cannot be trained: with the chat format '{chat_format.name}' turn {place + 1} does not continue its "
            f"prompt (which has {_shown(prompt[at:])} where the turn has {_shown(whole[at:])}){remedy}"
        )
    has_parts = bool(message.tool_calls or message.reasoning or THOUGHT in message.content)
    if is_learned and (has_parts or chat_format.quoted(message.content.strip()) not in answer):
        marks = marked(message, place)
        text = _with_marks(conversation, chat_format, [marks], place + 1)
        said = text and _continuation(prompt, text, marks.message, chat_format)
        _check_all_is_written([marks], said, chat_format)
    return WrittenTurn(prompt, answer, is_learned)


def _continuation(prompt: str, whole: str, message: Message, chat_format: ChatFormat) -> str | None:
    """What the model says after the prompt, or None where the two do not fit together."""
    if whole.startswith(prompt):
        return whole.removeprefix(prompt)
    before, mark, after = prompt.rpartition(_THINK)
    if not mark or after.strip() or not whole.startswith(before):
        return None
    # The prompt opens a thought, and the format writes the turn without one (R1's is made for prompts only).
    said = whole.removeprefix(before)
    if said.startswith(_THINK):
        return said.removeprefix(_THINK).lstrip("\n")
    thought = message.reasoning or message.content.rpartition(THOUGHT)[0].strip().removeprefix(_THINK)
    quoted: str = chat_format.quoted(thought.strip("\n"))
    return f"{quoted}\n{THOUGHT}\n\n{said.lstrip()}"


def _with_marks(conversation: Conversation, chat_format: ChatFormat, marks: Sequence[Marked], count: int) -> str | None:
    """The first messages, some of them marked; None where the format refuses marks, as in the name of a function."""
    by_place = {m.place: m.message for m in marks}
    messages = [by_place.get(place, message) for place, message in enumerate(conversation.messages[:count])]
    try:
        return chat_format.render(messages, False, conversation.tools)
    except InvalidInput:
        return None


def _check_all_is_written(marks: Sequence[Marked], text: str | None, chat_format: ChatFormat) -> None:
    for message in marks:
        for part in message.missing(text) if text is not None else ():
            is_reasoning = part == "the reasoning"
            raise BadRow(
                f"cannot be learned as it is meant: the chat format '{chat_format.name}' does not write {part} of turn "
                f"{message.place + 1}{' (reasoning_content)' if is_reasoning else ''}; leave it out, or "
                + ("write it into content" if is_reasoning else "set model.chat_format=plain")
            )


def _rendered(conversation: Conversation, chat_format: ChatFormat, count: int, is_prompt: bool) -> str:
    """The first messages, as a prompt for the next or as what was said."""
    messages = conversation.messages
    try:
        return chat_format.render(messages[:count], is_prompt, conversation.tools)
    except InvalidInput as error:
        refusal = error
    try:  # what is wrong with the whole says more than what is wrong with its beginning
        chat_format.render(messages, False, conversation.tools)
    except InvalidInput as error:
        refusal = error
    else:
        if count == 0 or all(message.role == "system" for message in messages[:count]):
            raise BadRow(
                f"cannot be trained: turn {count + 1} is the assistant's, and nothing stands before it that a model "
                'could be asked; give it "weight": 0'
            ) from None
    raise BadRow(f"cannot be trained: {refusal.what[0].lower()}{refusal.what[1:].rstrip('.')}") from None


def _shown(text: str) -> str:
    cut = f"{text[:_SHOWN_CHARACTERS]}…" if len(text) > _SHOWN_CHARACTERS else text
    return repr(cut) if text else "nothing more"
