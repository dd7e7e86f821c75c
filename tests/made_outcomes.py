"""Outcomes of a comparison that nobody ran: which arm is right on which question, as a test says it."""

from collections.abc import Callable

import numpy as np

from plait.models.vectors import VectorKind
from plait.routing.outcomes import Outcomes
from plait.routing.policy import RoutedArm

ARMS = (RoutedArm(model="support:1", name="lora"), RoutedArm(model="rag/base", name="rag/base"))
TOKENS = (30.0, 230.0)
VECTORS = VectorKind("made", 4)

Right = Callable[[int, str], tuple[float, float]]
"""Of a question, by its number and whether it is about the `form` or a `fact`: how right each arm is."""


def by_words(number: int, topic: str) -> tuple[float, float]:
    """Each arm is right on what it is for, but for every tenth question."""
    fails = number % 10 == 9
    return (1.0 - fails, 0.0) if topic == "form" else (0.0, 1.0 - fails)


def by_nothing(number: int, topic: str) -> tuple[float, float]:
    """Each arm is right on half of the questions, which nothing tells apart; the second on some more."""
    lucky = np.random.default_rng(number).random(2)
    return float(lucky[0] < 0.5), float(lucky[1] < 0.6)


def made_outcomes(
    right: Right = by_words, count: int = 80, *, questions_of_a_document: int = 1, has_vectors: bool = False
) -> Outcomes:
    """So many questions, half of them about the form of a reply and half about facts.

    Their vectors say which: the first two of four dimensions are of the topics, the others of the number.
    """
    topics = ["form" if number % 2 else "fact" for number in range(count)]
    noise = np.random.default_rng(0).normal(0, 0.3, (count, 2))
    vectors = np.array(
        [[topic == "form", topic == "fact", *noise[number]] for number, topic in enumerate(topics)], dtype=np.float32
    )
    return Outcomes(
        arms=ARMS,
        questions=[
            f"Reply to ticket {number} as JSON" if topic == "form" else f"How long is warranty {number}?"
            for number, topic in enumerate(topics)
        ],
        quality=np.array([right(number, topic) for number, topic in enumerate(topics)]),
        tokens=np.tile(TOKENS, (count, 1)),
        kinds=topics,
        groups=[f"{number // questions_of_a_document}.md" for number in range(count)],
        vectors=vectors / np.linalg.norm(vectors, axis=1, keepdims=True) if has_vectors else None,
    )
