"""Direct preference optimisation: of two answers to a prompt, the chosen one becomes likelier than the rejected one.

Rafailov et al. 2023, arXiv:2305.18290, eq. 7, with label smoothing as in cDPO (Mitchell 2023). The reference is the
base model itself: the same weights with the adapter switched off.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from plait.documents.row_files import BadRow
from plait.jobs.train.fields import Fields
from plait.jobs.train.objectives.objective import Losses
from plait.jobs.train.rows import (
    Conversation,
    conversation_of,
    has_messages,
    prompt_turns,
    said_turns,
    tools_of,
    with_system,
)
from plait.jobs.train.turns import Turn
from plait.recipes.objectives import ObjectiveConfig

if TYPE_CHECKING:
    from torch import Tensor

    from plait.jobs.train.batches import Batch
    from plait.jobs.train.encode import Encoder, Example
    from plait.jobs.train.trainable import Trainable


_OPENAIS = ("preferred_output", "non_preferred_output")


class DpoConfig(ObjectiveConfig):
    """Direct preference optimisation (Rafailov et al. 2023, arXiv:2305.18290). The reference is the base model itself:
    the same weights with the adapter switched off."""

    has_reference: ClassVar[bool] = True
    is_per_token: ClassVar[bool] = True

    kind: Literal["dpo"]
    beta: float = Field(0.1, gt=0, description="Strength of the pull towards the reference.")
    label_smoothing: float = Field(
        0.0, ge=0, lt=0.5, description="Share of the preferences taken to be wrong (cDPO, Mitchell 2023)."
    )


@dataclass(frozen=True)
class Preference:
    """Two conversations that differ only in the assistant's last message."""

    chosen: Conversation
    rejected: Conversation


class Dpo:
    """A group is a pair, the chosen answer first; each pair is a term.

    `reward_margin` is by how much the chosen answer is preferred, `reward_accuracy` the share of pairs in which it is.
    """

    group_size: ClassVar[int] = 2
    figures: ClassVar[tuple[str, ...]] = ("reward_margin", "reward_accuracy")

    def __init__(self, config: DpoConfig) -> None:
        self._config = config

    def parse(self, fields: Fields, unused: set[str]) -> Preference:
        if all(name in fields for name in _OPENAIS):
            return self._of_openai(fields, unused)
        if "chosen" not in fields or "rejected" not in fields:
            raise BadRow("is no preference: it needs 'prompt', 'chosen' and 'rejected'")
        has_list, asked = has_messages(fields), prompt_turns(fields, unused)
        tools = tools_of(fields, unused)

        def answered(name: str) -> Conversation:
            said = said_turns(fields, name, "assistant", unused)
            # What does not begin with an answer is a whole conversation: it holds the prompt, given beside it or not.
            is_whole = bool(said) and said[0].message.role != "assistant"
            if is_whole and not has_list:  # a list beside it is often one of the two, as in UltraFeedback
                _check_holds(said, asked, name)
            turns = with_system(fields, said if is_whole else [*asked, *said])
            if turns and turns[-1].weight is False:
                raise BadRow("is no preference: the answer has weight 0")
            return conversation_of(turns, tools)

        chosen, rejected = answered("chosen"), answered("rejected")
        if chosen.messages[:-1] != rejected.messages[:-1]:
            raise BadRow("is no preference: 'chosen' and 'rejected' answer different prompts")
        if chosen.messages[-1] == rejected.messages[-1]:
            raise BadRow("is no preference: 'chosen' and 'rejected' are the same")
        return Preference(chosen, rejected)

    def _of_openai(self, fields: Fields, unused: set[str]) -> Preference:
        """A row as OpenAI's fine-tuning takes it: the conversation and its tools in `input`, two answers beside it."""
        asked = fields.mapping("input", "an object with messages") or {}
        answers = dict(zip(("chosen", "rejected"), map(fields.take, _OPENAIS), strict=True))
        given = Fields({**asked, **answers}, "input")
        preference = self.parse(given, unused)
        unused.update(given.place(name) for name, _ in given.unused())
        return preference

    def encode(self, meaning: Preference, encoder: "Encoder") -> "list[list[Example]]":
        pair = [encoder.last_answer(meaning.chosen), encoder.last_answer(meaning.rejected)]
        return [encoder.fitting(pair, "preferred and rejected answer together take")]

    def terms(self, batch: "Batch") -> int:
        return sum(len(lengths) for lengths in batch.lengths) // 2

    def losses(self, model: "Trainable", batch: "Batch") -> Losses:
        import torch
        from torch.nn.functional import logsigmoid

        with torch.no_grad(), model.adapter_off():
            reference = _by_segment(model(batch, per_token=True), batch)
        policy = _by_segment(model(batch, per_token=True), batch)
        # Segments alternate: chosen, rejected, chosen, …
        gain = policy - reference
        chosen, rejected = self._config.beta * gain[0::2], self._config.beta * gain[1::2]
        margin = chosen - rejected
        wrong = self._config.label_smoothing
        total = -((1 - wrong) * logsigmoid(margin) + wrong * logsigmoid(-margin)).sum()
        return Losses(
            total, {"reward_margin": float(margin.detach().sum()), "reward_accuracy": float((margin > 0).sum())}
        )


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


def _by_segment(log_probs: "Tensor", batch: "Batch") -> "Tensor":
    """Sums of [b, t - 1] over the segments of all rows: [segments]."""
    import torch

    # Column t is of token t + 1, so the first token of a row, which nothing predicts, is missing.
    parts = [
        part.sum()
        for row, lengths in zip(log_probs, batch.lengths, strict=True)
        for part in row[: sum(lengths) - 1].split([lengths[0] - 1, *lengths[1:]])
    ]
    return torch.stack(parts) if parts else log_probs.new_zeros(0)
