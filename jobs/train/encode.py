"""From what a row means to token ids with labels.

In: a conversation or a text, a chat format and a tokenizer. Out: `Example`s, cut as serving does. It knows nothing of
files, or of rows that share a batch; which of its methods are called, an objective says.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from plait.documents.row_files import BadRow
from plait.jobs.train.loss import IGNORED
from plait.jobs.train.rows import Conversation
from plait.jobs.train.written_turns import WrittenTurn, written, written_turns
from plait.models.chat import ChatFormat
from plait.models.tokenizer import encode_prompt


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
        max_tokens: longest example, or group of examples.
    """

    tokenizer: Any
    chat_format: ChatFormat
    max_tokens: int

    def text(self, text: str) -> Example:
        """A text, all of which is learned."""
        return _all_labelled(self._text_ids(text))

    def windows(self, text: str) -> list[Example]:
        """A text of any length as parts that fit; a part of one token teaches nothing.

        Every part begins with BOS where a text does: models have seen no text without.
        """
        ids = self._text_ids(text)
        opening = ids[:1] if ids[0] == self.tokenizer.bos_token_id else []
        room = self.max_tokens - len(opening)
        parts = [[*opening, *ids[start : start + room]] for start in range(len(opening), len(ids), room)]
        return [_all_labelled(part) for part in parts if len(part) > 1]

    def answers(self, conversation: Conversation) -> list[Example]:
        """The answers that are learned, after their prompts: one example, or several in a chat format that writes
        earlier turns differently later on.

        Raises:
            BadRow: when the chat format cannot write the conversation; so do the methods below.
        """
        return self._examples(written_turns(conversation, self.chat_format, conversation.learned_turns))

    def last_answer(self, conversation: Conversation) -> Example:
        """The last answer alone, after its prompt."""
        (example,) = self._examples(written_turns(conversation, self.chat_format, [len(conversation.messages) - 1]))
        return example

    def conversation(self, conversation: Conversation) -> list[Example]:
        """Every token but those of answers that are context only."""
        turns = written_turns(conversation, self.chat_format, conversation.turns)
        examples = self._examples(turns, learns_prompts=True)
        if len(examples) == 1:
            return examples
        if conversation.unlearned:
            raise BadRow(
                "cannot be trained: the chat format writes earlier turns differently later on, so that with "
                "objective.loss_on=all none of them can be left out; set objective.loss_on=completions"
            )
        return [_all_labelled(self._closed_ids(written(conversation, self.chat_format)))]

    def fitting(self, group: list[Example], what: str = "it takes") -> list[Example]:
        """The group.

        Raises:
            BadRow: when it is longer than `max_tokens`; `what` begins its sentence.
        """
        length = sum(len(example.input_ids) for example in group)
        if length > self.max_tokens:
            raise BadRow(
                f"is too long: {what} {length} tokens, more than data.max_tokens ({self.max_tokens}); shorten it or "
                "raise data.max_tokens"
            )
        return group

    def _text_ids(self, text: str) -> list[int]:
        return [*encode_prompt(self.tokenizer, text), self.tokenizer.eos_token_id]

    def _closed_ids(self, text: str) -> list[int]:
        """Token ids of a rendered text that may end with EOS; a prompt's never do."""
        ids = encode_prompt(self.tokenizer, text)
        eos, eos_id = self.tokenizer.eos_token, self.tokenizer.eos_token_id
        return [*ids, eos_id] if eos and text.endswith(eos) and ids[-1:] != [eos_id] else ids

    def _examples(self, turns: Iterator[WrittenTurn], learns_prompts: bool = False) -> list[Example]:
        """One example for all turns that follow each other word for word, a new one where the chat format rewrites.

        The prompt and the answer are encoded apart, as at serving time, where the model continues an encoded prompt: a
        joint encoding could merge the last token of one with the first of the other.
        """
        examples: list[Example] = []
        done = ""
        for turn in turns:
            if done and turn.prompt.startswith(done):
                asked = self.tokenizer.encode(turn.prompt.removeprefix(done), add_special_tokens=False)
            else:
                examples.append(Example([], []))
                asked = encode_prompt(self.tokenizer, turn.prompt) if turn.answer else self._closed_ids(turn.prompt)
            said = self.tokenizer.encode(turn.answer, add_special_tokens=False)
            example = examples[-1]
            example.input_ids.extend(asked + said)
            example.labels.extend(asked if learns_prompts and turn.answer else [IGNORED] * len(asked))
            example.labels.extend(said if turn.is_learned else [IGNORED] * len(said))
            done = turn.prompt + turn.answer
        return examples


def _all_labelled(ids: list[int]) -> Example:
    return Example(ids, list(ids))
