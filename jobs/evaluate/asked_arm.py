"""Who answers as an arm of an evaluation: a model of a running server, in the way that any client would ask it.

In: names of models, the address of a server. Out: arms that can be asked. It plans no trial.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import httpx

from plait.chat_client import ChatAnswer, Sent, ask_async, models_async
from plait.errors import ModelNotFound, did_you_mean
from plait.evaluation.eval_set import Question
from plait.models.message import Message

Conversation = tuple[Message, ...]


class Ask(Protocol):
    """Sends a conversation and waits for the answer; what it raises is a `PlaitError`."""

    async def __call__(self, conversation: Conversation, how: Sent) -> ChatAnswer: ...


def as_they_are(questions: Sequence[Question]) -> list[Conversation]:
    """The conversation of each question, with nothing added."""
    return [question.conversation for question in questions]


@dataclass(frozen=True)
class AskedArm:
    """One arm.

    Attributes:
        name: of its trials.
        weights: what its answers follow from besides question and settings: those of other weights are asked anew.
        is_grounded: whether it is asked with passages, also where it could not answer.
        conversations: what is sent for questions.
    """

    name: str
    weights: str
    ask: Ask
    is_grounded: bool = False
    conversations: Callable[[Sequence[Question]], Sequence[Conversation]] = as_they_are


def served_arm(client: httpx.AsyncClient, base_url: str, name: str, model: str, weights: str) -> AskedArm:
    """A model of a server, by its id there."""
    ask = partial(_ask_served, client, base_url, model)
    return AskedArm(name, weights, ask, is_grounded=model.startswith("rag/"))


async def served_arms(client: httpx.AsyncClient, base_url: str, models: Sequence[str]) -> list[AskedArm]:
    """The models of a server, each an arm of its own name.

    Raises:
        ModelNotFound: for one that the server does not have.
        Unavailable: when no server answers.
    """
    known = await models_async(client, base_url)
    check_served(base_url, known, models)
    return [served_arm(client, base_url, model, model, known[model]) for model in dict.fromkeys(models)]


def check_served(base_url: str, known: Mapping[str, str], models: Sequence[str]) -> None:
    """Find out before the first question that a model is missing.

    Raises:
        ModelNotFound: for the first that is not known.
    """
    for model in models:
        if model not in known:
            raise ModelNotFound(f"The server at {base_url} has no model '{model}'.", did_you_mean(model, known))


async def _ask_served(
    client: httpx.AsyncClient, base_url: str, model: str, conversation: Conversation, how: Sent
) -> ChatAnswer:
    messages = [{"role": message.role, "content": message.content} for message in conversation]
    return await ask_async(client, base_url, model, messages, how)
