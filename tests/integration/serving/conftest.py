"""The server, with two collections and adapters good and bad, and a client."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import openai
import pyarrow as pa
import pytest
from changed_settings import changed_settings
from made_adapters import register_adapter

from plait.adapters.tracking import start_run, tracking_client
from plait.documents.chunk import Chunk, chunk_table
from plait.index.collection import Index
from plait.index.stores.store import Store
from plait.models.embedding import kind_of
from plait.models.encoders.load import load_embedding
from plait.routing.folder import PolicyAbout, write_policy
from plait.routing.policies.learned import LearnedConfig, VectorsConfig
from plait.routing.policy import RoutedArm
from plait.routing.registry import PolicyRegistry
from serving.asking import ADMIN_KEY, COLLECTION, FORM, MAX_BATCH_SIZE, MAX_WAITING, OTHER, QUESTION, TEXTS

# What training takes as little of as it can: the tiny model reads 512 tokens, and forgets what nobody measures.
SMALL = (
    *("model.dtype=float32", "data.max_tokens=64", "data.rehearsal_share=0", "train.kl_weight=0"),
    *("train.samples=0", "train.checkpoint_every_steps=2", "scale.threads_per_worker=1"),
)


@pytest.fixture(scope="package")
def adapters(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """`support` in two versions (the first its champion), one with broken weights, one of another base model."""
    for seed, name in enumerate(("support", "support", "broken", "foreign"), start=1):
        said = "other" if name == "foreign" else None
        kept = register_adapter(name, tiny_model, tmp_path_factory.mktemp(name), seed, base_sha256=said)
        if name == "broken":
            (kept / "adapter_model.safetensors").write_bytes(b"no weights")
    tracking_client().set_registered_model_alias("support", "champion", "1")


@pytest.fixture(scope="package")
def collection(milvus: Store, tiny_embedder: Path) -> Iterator[str]:
    indexes = [
        _filled(milvus, tiny_embedder, COLLECTION, TEXTS),
        _filled(milvus, tiny_embedder, OTHER, {"herons.md": "Herons stand in the water and wait."}),
    ]
    yield COLLECTION
    for index in indexes:
        index.drop()


def _filled(milvus: Store, tiny_embedder: Path, name: str, texts: dict[str, str]) -> Index:
    model = load_embedding(str(tiny_embedder))
    index = Index.open_or_create(name, milvus, embedding_model=model.name, dimension=model.dimension)
    chunks = [
        Chunk(
            chunk_id=source,
            source=source,
            title=source.removesuffix(".md"),
            heading="",
            text=text,
            position=0,
            start=0,
            end=len(text),
            chunk_count=1,
            content_hash="0",
            updated_at=0,
        )
        for source, text in texts.items()
    ]
    vectors = pa.FixedSizeListArray.from_arrays(
        pa.array(model.encode_passages([chunk.text_to_embed for chunk in chunks]).reshape(-1)), model.dimension
    )
    index.upsert(chunk_table(chunks).append_column("dense", vectors))
    return index


@pytest.fixture(scope="package")
def policy(tiny_embedder: Path, adapters: None, tmp_path_factory: pytest.TempPathFactory) -> str:
    """`made@champion`: what is like the question of tests goes to rag/base, what is like the other to `foreign`, which
    cannot be loaded, then to support:1."""
    model = load_embedding(str(tiny_embedder))
    kind = kind_of(model)
    tokens = {"accuracy": 0.5, "tokens": 100.0}
    config = LearnedConfig(
        arms=tuple(RoutedArm(model=name, name=name, **tokens) for name in ("foreign", "support:1", "rag/base")),
        points=0.0,
        estimator="neighbours",
        vectors=VectorsConfig(
            model=kind.model,
            dimension=kind.dimension,
            query_prompt=kind.prompts.query,
            passage_prompt=kind.prompts.passage,
        ),
    )
    arrays = {
        "vectors": model.encode_queries([QUESTION[0]["content"], FORM]),
        "quality": np.array([[0, 0.2, 1], [1, 0.8, 0]], dtype=np.float32),
        "count": np.ones(1, dtype=np.float32),
    }
    about = PolicyAbout(
        comparison="",
        comparison_sha256="",
        learner="",
        seed=0,
        worth=None,
        reason="Made.",
        plait_version="0",
        created_at="2026-01-01T00:00:00+00:00",
    )
    folder, client = tmp_path_factory.mktemp("policy"), tracking_client()
    write_policy(folder, config, arrays, about)
    for _ in range(2):
        PolicyRegistry(client).register("made", folder, start_run(client, "made", {}))
    client.set_registered_model_alias("policy made", "champion", "1")
    return "made@champion"


@pytest.fixture(scope="package")
def server(
    ray_cluster: None,
    tiny_model: Path,
    adapters: None,
    collection: str,
    policy: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[str]:
    """Base URL of the application, on the tiny models."""

    from plait.serve.deploy import deploy, read_config, take_down

    overrides = [
        f"llm.model={tiny_model}",
        "llm.dtype=float32",
        f"llm.max_batch_size={MAX_BATCH_SIZE}",
        f"llm.max_waiting={MAX_WAITING}",
        f"retrieval.collection={collection}",
        f"retrieval.more_collections=[{OTHER}]",
        "default_max_tokens=12",
        "judging.share=1.0",
        "answers.keep=all",
        "fine_tuning.enabled=true",
        f"fine_tuning.fields=[{', '.join(SMALL)}]",
        "batches.enabled=true",
        "batches.at_once=2",
        f"routing.policy={policy}",
    ]
    told: list[str] = []
    keys_file = tmp_path_factory.mktemp("keys") / "keys.json"
    with changed_settings(admin_key=ADMIN_KEY, keys_file=keys_file):
        try:
            yield deploy(read_config("local", overrides), on_progress=told.append)
            assert any("LLM" in line for line in told)
        finally:
            take_down()


@pytest.fixture(scope="package")
def client(server: str) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{server}/v1", api_key="none", max_retries=0, timeout=120)
