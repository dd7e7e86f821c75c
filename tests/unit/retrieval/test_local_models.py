"""Retrieval with a model of this process, over a store in memory."""

from pathlib import Path

from made_chunks import one_chunk_documents

from plait.index.collection import Index
from plait.index.stores.memory import MemoryStore
from plait.models.encoders.load import load_embedding
from plait.retrieval.local_models import LocalModels
from plait.retrieval.pipeline import RetrievalPipeline
from plait.retrieval.request import Retrieval


async def test_retrieval_finds_the_passage_that_says_the_same(tiny_embedder: Path) -> None:
    model = load_embedding(str(tiny_embedder))
    index = Index.open_or_create("said", MemoryStore(), embedding_model=model.name, dimension=model.dimension)
    texts = ["zebra quagga", "0123 4567", "hello world"]
    index.upsert(one_chunk_documents(texts, model.encode_passages(texts)))
    pipeline = RetrievalPipeline(LocalModels(model))
    for how in ({}, {"mode": "bm25"}, {"mode": "hybrid"}, {"rerank": "late-interaction"}):
        found = await pipeline.retrieve(index, ["hello world", "zebra quagga"], Retrieval(top_k=1, **how))
        assert [passages[0].text for passages in found] == ["hello world", "zebra quagga"]
    assert await pipeline.retrieve(index, [], Retrieval()) == []
