"""What travels between the deployments: calls in, events out. Nothing here knows HTTP."""

from dataclasses import dataclass

from plait.model_ids import ModelId
from plait.models.chat import Message
from plait.retrieval.passage import Passage
from plait.serve.engines.engine import FinishReason, Sampling


@dataclass(frozen=True)
class Call:
    """One question: a conversation, or a bare prompt when `messages` is None."""

    model: ModelId
    sampling: Sampling
    messages: tuple[Message, ...] | None = None
    prompt: str = ""
    passages: tuple[Passage, ...] = ()
    top_k: int | None = None


@dataclass(frozen=True)
class Event:
    """The next piece of an answer. Counts are those of the whole answer so far.

    The first event names the weights that answer and the passages that fitted into the prompt; the last one has a
    `finish_reason`.
    """

    text: str
    prompt_tokens: int
    generated_tokens: int
    finish_reason: FinishReason | None = None
    answered_by: str = ""
    passages: tuple[Passage, ...] = ()
    retrieval_ms: float | None = None
