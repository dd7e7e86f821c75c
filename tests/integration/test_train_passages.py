"""Examples that carry retrieved passages: which do, and that nothing else of them changes."""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

import pyarrow as pa
import pytest
from local_training import training_in_this_process
from made_rows import answers, encoding_of, jsonl, prepared, row

from plait.documents.chunk import Chunk, chunk_table
from plait.errors import DataError
from plait.index.collection import Index
from plait.index.stores.store import Store
from plait.jobs.train.shards import Shards
from plait.models.encoders.load import load_embedding
from plait.models.reranking import RerankingModel
from plait.models.tokenizer import load_tokenizer
from plait.recipes import ContextConfig
from plait.retrieval.context import INSTRUCTION

pytestmark = pytest.mark.usefixtures("ray_cluster")
IN_PLACE = pytest.mark.usefixtures("training_in_place")


@pytest.fixture(scope="module")
def tokenizer(tiny_model: Path) -> Any:
    return load_tokenizer(tiny_model)


@pytest.fixture
def encoding(tiny_model: Path) -> Any:
    """Encoding(objective, **data): how a run of the tiny model encodes its rows."""
    return partial(encoding_of, tiny_model)


@pytest.fixture
def index(milvus: Store, tiny_embedder: Path) -> Iterator[Index]:
    """An index of ten one-line documents."""
    embedding = load_embedding(str(tiny_embedder))
    index = Index.open_or_create(f"test_{uuid4().hex}", milvus, embedding_model=str(tiny_embedder), dimension=32)
    texts = [f"Number {i} is {7 * i}." for i in range(10)]
    chunks = [Chunk(f"{i:032}", f"{i}.md", "", "", text, 0, 0, len(text), 1, "h", 1) for i, text in enumerate(texts)]
    dense = pa.FixedSizeListArray.from_arrays(pa.array(embedding.encode_passages(texts).ravel()), 32)
    index.upsert(chunk_table(chunks).append_column("dense", dense))
    yield index
    index.drop()


def prompts(folder: Path, tokenizer: Any) -> list[str]:
    shards = Shards(folder)
    return [tokenizer.decode(p.input_ids) for refs in shards.in_order(64) for p in shards.read(refs)]


def test_a_share_of_the_examples_carries_passages_and_always_the_same_ones(
    encoding: Any, tokenizer: Any, index: Index, tmp_path: Path
) -> None:
    rows = [row(i % 10) for i in range(60)]
    first, moved = (jsonl(tmp_path / place / "a.jsonl", rows) for place in ("here", "there/and/further"))
    context = ContextConfig(collection=index.name, share=0.5, top_k=1, budget_tokens=100)
    grounded = encoding(context=context, packing=False, max_tokens=400)
    manifest = prepared(first, grounded, tmp_path / "one")
    with training_in_this_process():
        assert prepared(moved, grounded, tmp_path / "two") == manifest
    assert answers(tmp_path / "one", tokenizer) == [r["answer"] for r in rows]

    has_passage = [INSTRUCTION in prompt for prompt in prompts(tmp_path / "one", tokenizer)]
    assert 15 <= sum(has_passage) <= 45
    assert all("is number" in p and "</passage>" in p for p in prompts(tmp_path / "one", tokenizer) if INSTRUCTION in p)
    with training_in_this_process():
        prepared(first, replace(grounded, seed=1), tmp_path / "three")
    assert has_passage != [INSTRUCTION in prompt for prompt in prompts(tmp_path / "three", tokenizer)]


@IN_PLACE
def test_passages_leave_weights_and_unused_columns_as_they_are(
    encoding: Any, tokenizer: Any, index: Index, tmp_path: Path
) -> None:
    turns = [{"role": "user", "content": "What is number 3?"}, {"role": "assistant", "content": "It is 21."}]
    file = jsonl(tmp_path / "a.jsonl", [{"messages": [turns[0], turns[1] | {"weight": 0}, *turns], "id": 1}])
    context = ContextConfig(collection=index.name, share=1.0, top_k=1, budget_tokens=100)
    manifest = prepared(file, encoding(context=context, max_tokens=400), tmp_path / "out")
    assert INSTRUCTION in prompts(tmp_path / "out", tokenizer)[0]
    assert answers(tmp_path / "out", tokenizer) == ["It is 21."]
    assert manifest.unused == ["id"]


@IN_PLACE
@pytest.mark.parametrize(("share", "expected"), [(0.0, 0), (1.0, 4)])
def test_the_share_of_examples_with_passages_may_be_none_or_all(
    encoding: Any, tokenizer: Any, index: Index, tmp_path: Path, share: float, expected: int
) -> None:
    context = ContextConfig(collection=index.name, share=share, top_k=1, budget_tokens=100)
    file = jsonl(tmp_path / "a.jsonl", [row(i) for i in range(4)])
    prepared(file, encoding(context=context, packing=False, max_tokens=400), tmp_path / "out")
    assert sum(INSTRUCTION in prompt for prompt in prompts(tmp_path / "out", tokenizer)) == expected


@IN_PLACE
def test_a_bad_line_keeps_its_place_when_passages_are_retrieved(encoding: Any, index: Index, tmp_path: Path) -> None:
    context = ContextConfig(collection=index.name, share=1.0)
    file = jsonl(tmp_path / "a.jsonl", [row(0), "{"])
    with pytest.raises(DataError, match=r"a\.jsonl:2 is not valid JSON"):
        prepared(file, encoding(context=context, max_tokens=400), tmp_path / "out")


@pytest.fixture
def reranker(tiny_embedder: Path, tmp_path: Path) -> Path:
    """A random cross-encoder."""
    import torch
    from transformers import AutoTokenizer, BertConfig, BertForSequenceClassification

    torch.manual_seed(0)
    body, folder = tiny_embedder.parent / "bert", tmp_path / "reranker"
    BertForSequenceClassification(BertConfig.from_pretrained(body, num_labels=1)).save_pretrained(folder)
    AutoTokenizer.from_pretrained(body).save_pretrained(folder)
    return folder


@IN_PLACE
def test_passages_are_those_that_the_cross_encoder_puts_first(
    encoding: Any, tokenizer: Any, index: Index, reranker: Path, tmp_path: Path
) -> None:
    context = ContextConfig(
        collection=index.name, share=1.0, top_k=1, budget_tokens=100, rerank="cross-encoder", rerank_model=str(reranker)
    )
    rows = [row(i) for i in range(4)]
    file = jsonl(tmp_path / "a.jsonl", rows)
    prepared(file, encoding(context=context, packing=False, max_tokens=400), tmp_path / "out")
    texts = [f"Number {i} is {7 * i}." for i in range(10)]
    model = RerankingModel(str(reranker))
    scores = [model.score([(r["question"], text) for text in texts]) for r in rows]
    best = [texts[of_question.index(max(of_question))] for of_question in scores]
    assert [text in prompt for text, prompt in zip(best, prompts(tmp_path / "out", tokenizer), strict=True)] == [
        True
    ] * 4
