"""From what a row means to token ids with labels.

In: a `Conversation`, `Text` or `Preference`, a chat format and a tokenizer. Out: groups of `Example`s, cut as serving
does. It knows nothing of files or of rows that share a batch.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from plait.jobs.train.loss import IGNORED
from plait.jobs.train.rows import BadRow, Conversation, Preference, Text
from plait.models.chat import ChatFormat, Message
from plait.models.tokenizer import encode_prompt
from plait.recipes import ObjectiveConfig as Objective
from plait.recipes import PretrainConfig, SftConfig


@dataclass(frozen=True)
class Example:
    """Token ids; `labels` equal them where loss falls, IGNORED elsewhere."""

    input_ids: list[int]
    labels: list[int]


@dataclass(frozen=True)
class Encoder:
    """How rows of one run become examples.

    Args:
        tokenizer: the base model's.
        chat_format: in which conversations are written.
        objective: which tokens carry a loss.
        max_tokens: longest example, or pair of examples.
    """

    tokenizer: Any
    chat_format: ChatFormat
    objective: Objective
    max_tokens: int

    def encode(self, row: Conversation | Text | Preference) -> list[list[Example]]:
        """Groups of examples that must share a packed row: a preference is a group of two, a long text several groups.

        Raises:
            BadRow: when it is too long, or the chat format cannot cut it.
        """
        if isinstance(row, Preference):
            return [self._fitting([self._judged(row.chosen), self._judged(row.rejected)])]
        if isinstance(self.objective, PretrainConfig):
            text = row.text if isinstance(row, Text) else self.chat_format.render(row.messages, False)
            return [[window] for window in self._windows(text)]
        if isinstance(row, Text):
            return [self._fitting([_all_labelled(self._text_ids(row.text))])]
        example = self._conversation(row)
        if isinstance(self.objective, SftConfig) and self.objective.loss_on == "all":
            example = _all_labelled(example.input_ids)
        return [self._fitting([example])]

    def _text_ids(self, text: str) -> list[int]:
        return [*encode_prompt(self.tokenizer, text), self.tokenizer.eos_token_id]

    def _windows(self, text: str) -> list[Example]:
        """A text of any length as parts that fit; a part of one token teaches nothing."""
        ids = self._text_ids(text)
        parts = [ids[start : start + self.max_tokens] for start in range(0, len(ids), self.max_tokens)]
        return [_all_labelled(part) for part in parts if len(part) > 1]

    def _conversation(self, conversation: Conversation) -> Example:
        return encode_conversation(conversation.messages, self.chat_format, self.tokenizer)

    def _judged(self, conversation: Conversation) -> Example:
        """Only the last answer: what stands before it is the same in both of a pair."""
        return encode_conversation(conversation.messages, self.chat_format, self.tokenizer, only_last=True)

    def _fitting(self, group: list[Example]) -> list[Example]:
        length = sum(len(example.input_ids) for example in group)
        if length > self.max_tokens:
            what = "preferred and rejected answer together" if len(group) > 1 else "it"
            raise BadRow(
                f"is too long: {what} take{'' if len(group) > 1 else 's'} {length} tokens, more than data.max_tokens "
                f"({self.max_tokens}); shorten it or raise data.max_tokens"
            )
        return group


def _all_labelled(ids: list[int]) -> Example:
    return Example(ids, list(ids))


def encode_conversation(
    messages: Sequence[Message], chat_format: ChatFormat, tokenizer: Any, only_last: bool = False
) -> Example:
    """Token ids of a conversation, with labels where the assistant speaks, or only where it speaks last.

    The prompt and the answer are encoded apart, as at serving time, where the model continues an encoded prompt: a
    joint encoding could merge the last token of one with the first of the other.

    Raises:
        BadRow: when the chat format rewrites what stood before, so that turns cannot be told apart.
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
            raise BadRow(
                f"cannot be trained: at turn {index + 1} the chat format '{chat_format.name}' rewrites earlier turns; "
                "use examples of one question and one answer, or set model.chat_format=plain"
            )
        asked = prompt.removeprefix(done)
        asked_ids = tokenizer.encode(asked, add_special_tokens=False) if done else encode_prompt(tokenizer, asked)
        answer_ids = tokenizer.encode(whole.removeprefix(prompt), add_special_tokens=False)
        input_ids += asked_ids + answer_ids
        is_learned = not only_last or index == len(messages) - 1
        labels += [IGNORED] * len(asked_ids) + (answer_ids if is_learned else [IGNORED] * len(answer_ids))
        done = whole
    return Example(input_ids, labels)
