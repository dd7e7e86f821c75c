"""How long does retrieval take at 10,000 and at 100,000 chunks, against the store's own search?

Chunks of made-up words with random vectors in the embedded Milvus; questions of made-up words, embedded for real. The
store's own search is pymilvus's, asked for the same fields with the vector at hand.
"""

import asyncio
import random
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median, quantiles

import numpy as np
import pyarrow as pa
from harness.homes import own_home, stop
from harness.results import options, publish
from pymilvus import AnnSearchRequest, MilvusClient, RRFRanker

from plait.documents.chunk import Chunk, chunk_table
from plait.index.collection import Index
from plait.index.stores.connect import connect_store
from plait.models.embedding import Embedding
from plait.models.encoders.load import load_embedding
from plait.models.vectors import Vectors
from plait.recipes import DEFAULT_EMBEDDING
from plait.retrieval.local_models import LocalModels
from plait.retrieval.pipeline import RetrievalPipeline
from plait.retrieval.request import Retrieval

SIZES = (10_000, 100_000)
TOP_K = 10
_FIELDS = ["chunk_id", "source", "title", "heading", "text", "start", "end", "position", "metadata"]
_DENSE = {"metric_type": "COSINE", "params": {"ef": 64}}
_A_BATCH = 2_000
_WORDS = 5_000


@dataclass
class Times:
    """Milliseconds of each question: the whole retrieval, its embedding, and the store's own search."""

    whole: list[float] = field(default_factory=list)
    embedding: list[float] = field(default_factory=list)
    raw: list[float] = field(default_factory=list)

    @property
    def beyond_embedding(self) -> list[float]:
        return [whole - embedding for whole, embedding in zip(self.whole, self.embedding, strict=True)]

    def ratio(self, percent: int) -> float:
        return _percentile(self.beyond_embedding, percent) / _percentile(self.raw, percent)


def main() -> None:
    given = options(__doc__ or "", runs=3)
    sizes = SIZES[:1] if given.quick else SIZES
    lines = [
        "| chunks | mode | retrieval: ms, p50 / p95 | embedding | the rest | the store's search | rest / store's |",
        "|" + "---|" * 7,
    ]
    ratios: dict[str, float] = {}
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        own_home(Path(folder))
        model = load_embedding(DEFAULT_EMBEDDING)
        for size in sizes:
            index = _filled(size, model)
            for mode in ("dense", "hybrid"):
                times = asyncio.run(_times(index, model, Retrieval(top_k=TOP_K, mode=mode), given.runs))
                kinds = (times.whole, times.embedding, times.beyond_embedding, times.raw)
                cells = [f"{_percentile(ms, 50):.1f} / {_percentile(ms, 95):.1f}" for ms in kinds]
                ratio = {p: round(times.ratio(p), 2) for p in (50, 95)}
                lines.append(f"| {size:,} | {mode} | {' | '.join(cells)} | {ratio[50]} / {ratio[95]} |")
                print(lines[-1], flush=True)
                ratios[f"{mode}_{size}"] = ratio[50]
            index.drop()
        stop()
    publish("retrieval_latency", "Retrieval beside the store's own search", "\n".join(lines), ratios, given)


def _filled(size: int, model: Embedding) -> Index:
    index = Index.open_or_create(
        f"of_{size}",
        connect_store(),
        embedding_model=model.name,
        dimension=model.dimension,
        prompts=model.prompts,
    )
    chance, numbers = random.Random(0), np.random.default_rng(0)
    for first in range(0, size, _A_BATCH):
        texts = [_text(chance, 60) for _ in range(_A_BATCH)]
        chunks = [
            Chunk(
                chunk_id=f"{number:032x}",
                source=f"{number // 20}.md",
                title="",
                heading="",
                text=text,
                position=number % 20,
                start=0,
                end=len(text),
                chunk_count=20,
                content_hash="0",
                updated_at=0,
            )
            for number, text in enumerate(texts, start=first)
        ]
        vectors = numbers.standard_normal((_A_BATCH, model.dimension), np.float32)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        dense = pa.FixedSizeListArray.from_arrays(pa.array(vectors.reshape(-1)), model.dimension)
        index.upsert(chunk_table(chunks).append_column("dense", dense))
    index.flush()
    return index


async def _times(index: Index, model: Embedding, how: Retrieval, runs: int) -> Times:
    pipeline, client = RetrievalPipeline(LocalModels(model)), MilvusClient(connect_store().address)
    questions = [_text(random.Random(n), 9) for n in range(100 * runs)]
    times = Times()
    for n, question in enumerate([questions[0], *questions]):
        started = time.perf_counter()
        vector = model.encode_queries([question])
        embedded = time.perf_counter()
        _raw(client, index.name, how, question, vector)
        searched = time.perf_counter()
        await pipeline.retrieve(index, [question], how)
        ended = time.perf_counter()
        if n:  # the first one warms up
            times.embedding.append((embedded - started) * 1000)
            times.raw.append((searched - embedded) * 1000)
            times.whole.append((ended - searched) * 1000)
    return times


def _raw(client: MilvusClient, collection: str, how: Retrieval, question: str, vector: Vectors) -> None:
    within = 'tenant == "default"'
    if how.mode == "dense":
        client.search(collection, list(vector), within, TOP_K, _FIELDS, _DENSE, anns_field="dense")
        return
    sides = [
        AnnSearchRequest(list(vector), "dense", _DENSE, 50, expr=within),
        AnnSearchRequest([question], "sparse", {}, 50, expr=within),
    ]
    client.hybrid_search(collection, sides, RRFRanker(60), TOP_K, _FIELDS)


def _text(chance: random.Random, words: int) -> str:
    return " ".join(f"w{int(chance.paretovariate(0.7)) % _WORDS}" for _ in range(words))


def _percentile(values: list[float], percent: int) -> float:
    return median(values) if percent == 50 else quantiles(values, n=100)[percent - 1]


if __name__ == "__main__":
    main()
