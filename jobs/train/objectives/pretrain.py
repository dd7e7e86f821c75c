"""Continued pre-training: the next token of plain text, in windows as long as a row."""

from typing import TYPE_CHECKING, Literal

from plait.documents.row_files import BadRow
from plait.jobs.train.fields import Fields
from plait.jobs.train.objectives.next_token import NextToken
from plait.jobs.train.rows import Conversation, Text, read_conversation
from plait.jobs.train.written_turns import written
from plait.recipes.objectives import ObjectiveConfig

if TYPE_CHECKING:
    from plait.jobs.train.encode import Encoder, Example


class PretrainConfig(ObjectiveConfig):
    """Continued pre-training: the next token of plain text."""

    kind: Literal["pretrain"]


class Pretrain(NextToken):
    """Of a row that is a conversation and a text, it takes the text; a conversation alone is read as its text."""

    def __init__(self, config: PretrainConfig) -> None:
        pass

    def parse(self, fields: Fields, unused: set[str]) -> Conversation | Text:
        if "text" in fields:
            return Text(fields.text("text"))
        conversation = read_conversation(fields, unused, learns_all=True, may_leave_out=False)
        if conversation is None:
            raise BadRow("is no text: it needs 'text', or a conversation")
        return conversation

    def encode(self, meaning: Conversation | Text, encoder: "Encoder") -> "list[list[Example]]":
        text = meaning.text if isinstance(meaning, Text) else written(meaning, encoder.chat_format)
        return [[window] for window in encoder.windows(text)]
