"""What a chat format leaves out of a message, found by marks.

In: a message. Out: the same message with a word in each part that says something, and what is missing where a word is
not written. A format may trim, quote or move a part, so that it does not stand in the text as it was given, and a short
part may stand there by chance; a mark does neither. It knows no templates.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace

from plait.models.message import Message, ToolCall

THOUGHT = "</think>"
"""Where a thought that is written into the content ends."""


@dataclass(frozen=True)
class Marked:
    """A message with marks, and its place in the conversation, from 0; `parts`: what each mark stands in, as in 'the
    content'."""

    place: int
    message: Message
    parts: Mapping[str, str]

    def missing(self, text: str) -> list[str]:
        """The parts that a text of the message leaves out."""
        return [part for mark, part in self.parts.items() if mark not in text]


def marked(message: Message, place: int) -> Marked:
    """A message with a mark in its content, in a thought at its beginning, in its reasoning, and in name and arguments
    of each call; what is empty gets none.

    Args:
        message: what was said.
        place: which of the conversation's messages it is, from 0.
    """
    parts: dict[str, str] = {}

    def mark(part: str) -> str:
        word = f"zq{place}x{len(parts)}qz"
        parts[word] = part
        return word

    def marked_call(call: ToolCall) -> ToolCall:
        arguments = json.loads(call.arguments)
        if arguments:
            arguments |= {mark(f"the arguments of {call.name}"): ""}
        name = call.name + mark(f"the call of {call.name}")
        return replace(call, name=name, arguments=json.dumps(arguments, ensure_ascii=False))

    before, end, content = message.content.rpartition(THOUGHT)
    if before.removeprefix("<think>").strip():
        before += mark("the thought in the content")
    if content.strip():
        content += mark("the content")
    reasoning = message.reasoning and message.reasoning + mark("the reasoning")
    calls = tuple(map(marked_call, message.tool_calls))
    return Marked(place, replace(message, content=before + end + content, reasoning=reasoning, tool_calls=calls), parts)
