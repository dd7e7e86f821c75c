"""Many texts, or long ones, to a model that all requests share."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from plait.errors import InvalidInput
from plait.models.embedding import kind_of
from plait.models.long_texts import LongTexts
from plait.models.vectors import NO_PROMPTS, Vectors
from plait.serve.deployments.embedder import Embedder
from plait.serve.deployments.reranker import Reranker


class Model:
    """Notes what it is asked, and takes a moment for each call."""

    name, max_tokens, dimension, prompts = "model", 4, 2, NO_PROMPTS

    def __init__(self) -> None:
        self.asked: list[Sequence[str]] = []

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        return [1 for _ in texts]

    def encode_passages(self, texts: Sequence[str], batch_size: int = 32) -> Vectors:
        self.asked.append(texts)
        return np.array([[len(text), 1] for text in texts], np.float32).reshape(-1, 2)

    def encode_queries(self, texts: Sequence[str]) -> Vectors:
        return self.encode_passages(texts)

    def score(self, pairs: Sequence[tuple[str, str]]) -> list[float]:
        self.asked.append([text for _, text in pairs])
        return [float(len(text)) for _, text in pairs]


@pytest.fixture
def model() -> Model:
    return Model()


@pytest.fixture
def embedder(model: Model) -> Embedder:
    embedder = Embedder.__new__(Embedder)  # without a model to load
    embedder._model = model
    embedder._changing = asyncio.Lock()
    one_after_the_other(embedder, "_embed_together", lambda asked: model.encode_passages(asked[0]))
    return embedder


def one_after_the_other(deployment: Any, method: str, answer: Callable[[Any], Any]) -> None:
    """In the place of Serve's batches, which there are in a replica only."""
    turn = asyncio.Lock()

    async def answered(asked: Any) -> Any:
        async with turn:
            await asyncio.sleep(0.001)
            return answer(asked)

    setattr(deployment, method, answered)


async def test_a_question_is_embedded_between_the_parts_of_a_large_request(embedder: Embedder, model: Model) -> None:
    many = asyncio.create_task(embedder.embed([str(i) for i in range(1000)], "passage", "model", LongTexts()))
    await asyncio.sleep(0)
    question = await embedder.embed_questions(kind_of(model), ["why?"])
    assert not many.done()
    assert question.vectors.tolist() == [[4, 1]]
    assert (await many).vectors[:, 0].tolist() == [len(str(i)) for i in range(1000)]
    assert max(map(len, model.asked)) <= 128


async def test_pairs_of_others_are_scored_between_those_of_a_large_request(model: Model) -> None:
    reranker = Reranker.__new__(Reranker)
    reranker._model = model
    one_after_the_other(reranker, "_score_together", model.score)
    many = asyncio.create_task(reranker.rerank("q", ["a" * (i % 9) for i in range(1000)], "model"))
    await asyncio.sleep(0)
    assert await reranker.rerank("q", ["abc"], "model") == [3.0]
    assert not many.done()
    assert await many == [float(i % 9) for i in range(1000)]


async def test_a_text_far_beyond_the_model_is_refused_or_cut_before_it_is_read(
    embedder: Embedder, model: Model
) -> None:
    with pytest.raises(InvalidInput, match=r"Input 1 has 500000 characters, and the model reads 4 tokens"):
        await embedder.embed(["a", "word " * 100_000], "passage", "model", LongTexts())
    assert not model.asked
    await embedder.embed_passages(kind_of(model), ["word " * 100_000])
    await embedder.rerank("word " * 100_000, ["word " * 100_000], "model")
    assert {len(text) for texts in model.asked for text in texts} == {400}
