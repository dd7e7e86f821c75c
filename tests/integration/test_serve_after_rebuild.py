import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from ray import serve
from ray.serve.handle import DeploymentHandle

from plait.jobs.ingest.job import ingest
from plait.recipes import IngestRecipe
from plait.retrieval.request import Retrieval
from plait.serve.deployments.embedder import Embedder
from plait.serve.deployments.retriever import Retriever
from plait.serve.messages.arguments import EmbeddingArguments, RetrievalArguments
from plait.serve.messages.calls import Retrieved

pytestmark = pytest.mark.usefixtures("ingestion_in_place")


@pytest.fixture
def retriever(ingestion_in_place: None, recipe: IngestRecipe) -> Iterator[DeploymentHandle]:
    """The deployed retriever of an index, with the embedder that it asks."""
    ingest(recipe)
    arguments = RetrievalArguments(collection=recipe.collection)
    light = {"ray_actor_options": {"num_cpus": 0.1}}
    embedder = serve.deployment(Embedder, **light).bind(EmbeddingArguments(), arguments)
    application = serve.deployment(Retriever, **light).bind(arguments, embedder, None)
    name = f"test-{uuid4().hex[:8]}"
    yield serve.run(application, name=name, route_prefix=None)
    serve.shutdown()  # its proxy has a port of its own that the next server would find taken


def test_serving_follows_rebuilds_without_a_restart(
    retriever: DeploymentHandle, recipe: IngestRecipe, tiny_embedder: Path, tmp_path: Path
) -> None:
    began = time.time() - 120  # the index was filled before

    def ends(question: str) -> list[int]:
        found = retriever.retrieve.remote(question, Retrieval(top_k=50), "").result()
        return sorted(passage.end - passage.start for passage in found.passages)

    def found() -> Retrieved:
        return retriever.retrieve.remote(question, Retrieval(), "").result()

    question = "some words of a.md in part 2"
    before = ends(question)
    assert found().generations == {recipe.collection: 1}
    with_larger = recipe.model_copy(update={"chunk": recipe.chunk.model_copy(update={"max_tokens": 64})})
    ingest(with_larger, rebuild=True)
    after = ends(question)
    assert sum(after) >= sum(before) - 10
    assert len(after) < len(before)
    assert found().generations == {recipe.collection: 2}
    assert began <= found().in_step_at[recipe.collection] <= time.time()  # asked for with the first question

    # Another model: the embedder loads it, and what it makes of the question is near to what it made of the text.
    other = str(shutil.copytree(tiny_embedder, tmp_path / "other"))
    embedding = recipe.embedding.model_copy(update={"model": other})
    ingest(recipe.model_copy(update={"embedding": embedding}), rebuild=True)
    assert ends(question) == before
