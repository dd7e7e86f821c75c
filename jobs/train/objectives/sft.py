"""Supervised fine-tuning: the next token of given answers, or of everything that is said."""

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from plait.documents.row_files import BadRow
from plait.jobs.train.fields import Fields
from plait.jobs.train.objectives.next_token import NextToken
from plait.jobs.train.rows import Conversation, Text, read_conversation
from plait.recipes.objectives import ObjectiveConfig

if TYPE_CHECKING:
    from plait.jobs.train.encode import Encoder, Example


class SftConfig(ObjectiveConfig):
    """Supervised fine-tuning: the next token of given answers."""

    kind: Literal["sft"] = "sft"
    loss_on: Literal["completions", "all"] = Field(
        "completions", description="Which tokens carry a loss: the assistant's, or all of them."
    )


class Sft(NextToken):
    """Of a row that is a conversation and a text, it takes the conversation: the text is often the same in another
    template."""

    def __init__(self, config: SftConfig) -> None:
        self._learns_all = config.loss_on == "all"

    def parse(self, fields: Fields, unused: set[str]) -> Conversation | Text:
        if (conversation := read_conversation(fields, unused, self._learns_all)) is not None:
            return conversation
        if "text" in fields:
            return Text(fields.text("text"))
        forms = "'messages', 'question' and 'answer', 'prompt' and 'completion', or 'text'"
        raise BadRow(f"is no example: it needs {forms}")

    def encode(self, meaning: Conversation | Text, encoder: "Encoder") -> "list[list[Example]]":
        """One group, and more for a conversation in a chat format that writes earlier turns differently later on."""
        if isinstance(meaning, Text):
            examples = [encoder.text(meaning.text)]
        else:
            examples = encoder.conversation(meaning) if self._learns_all else encoder.answers(meaning)
        return [encoder.fitting([example]) for example in examples]
