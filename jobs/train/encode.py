"""From what a row means to token ids with labels.

In: a `Conversation`, `Text` or `Preference`, a chat format and a tokenizer. Out: groups of `Example`s, cut as serving
does. It knows nothing of files or of rows that share a batch.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from plait.jobs.train.fields import BadRow
from plait.jobs.train.loss import IGNORED
from plait.jobs.train.rows import Conversation, Preference, Text
from plait.jobs.train.written_turns import WrittenTurn, written, written_turns
from plait.models.chat import ChatFormat
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
        """Groups of examples that must share a packed row.

        A preference is a group of two, a long text several groups, and so is a conversation in a chat format that
        writes earlier turns differently later on.

        Raises:
            BadRow: when it is too long, or the chat format cannot write it.
        """
        if isinstance(row, Preference):
            return [self._fitting([self._judged(row.chosen), self._judged(row.rejected)])]
        if isinstance(self.objective, PretrainConfig):
            text = row.text if isinstance(row, Text) else written(row, self.chat_format)
            return [[window] for window in self._windows(text)]
        if isinstance(row, Text):
            return [self._fitting([_all_labelled(self._text_ids(row.text))])]
        learns_all = isinstance(self.objective, SftConfig) and self.objective.loss_on == "all"
        examples = self._learned_whole(row) if learns_all else self._learned_answers(row)
        return [self._fitting([example]) for example in examples]

    def _text_ids(self, text: str) -> list[int]:
        return [*encode_prompt(self.tokenizer, text), self.tokenizer.eos_token_id]

    def _closed_ids(self, text: str) -> list[int]:
        """Token ids of a rendered text that may end with EOS; a prompt's never do."""
        ids = encode_prompt(self.tokenizer, text)
        eos, eos_id = self.tokenizer.eos_token, self.tokenizer.eos_token_id
        return [*ids, eos_id] if eos and text.endswith(eos) and ids[-1:] != [eos_id] else ids

    def _windows(self, text: str) -> list[Example]:
        """A text of any length as parts that fit; a part of one token teaches nothing."""
        ids = self._text_ids(text)
        parts = [ids[start : start + self.max_tokens] for start in range(0, len(ids), self.max_tokens)]
        return [_all_labelled(part) for part in parts if len(part) > 1]

    def _judged(self, conversation: Conversation) -> Example:
        """Only the last answer: what stands before it is the same in both of a pair."""
        (example,) = self._examples(written_turns(conversation, self.chat_format, [len(conversation.messages) - 1]))
        return example

    def _learned_answers(self, conversation: Conversation) -> list[Example]:
        return self._examples(written_turns(conversation, self.chat_format, conversation.learned_turns))

    def _learned_whole(self, conversation: Conversation) -> list[Example]:
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
