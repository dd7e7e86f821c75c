"""Vector stores, files and uploads by OpenAI's own client, over an index in memory and the indexer's own code."""

import io
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import openai
import pytest
from changed_settings import changed_settings
from direct_indexer import READS_TOKENS, DirectIndexer
from fastapi.testclient import TestClient
from serve_api.every_route import Behind

from plait import api_keys
from plait.documents.uploads import made_collections, multipart
from plait.documents.uploads.folders import root
from plait.index.collection import Index, list_collections
from plait.index.stores.memory import MemoryStore
from plait.models.encoders.load import load_embedding
from plait.scope import Scope
from plait.serve.api.services import deployments
from plait.serve.ingress import build_api
from plait.serve.messages.calls import Collection

TEXT = b"# Herons\n\n" + b"The heron stands in the water and waits for a fish. " * 20
STATIC: Any = {"type": "static", "static": {"max_chunk_size_tokens": 800, "chunk_overlap_tokens": 400}}
Client = Callable[..., openai.OpenAI]


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def client_of(tmp_path: Path, tiny_embedder: Path, store: MemoryStore) -> Iterator[Client]:
    """Makes a client with a key of the scope `documents`, bound to what is given."""
    model = load_embedding(str(tiny_embedder))
    Index.open_or_create("docs", store, embedding_model=model.name, dimension=model.dimension)
    indexer = DirectIndexer("docs", store, model)

    async def collection(name: str, tenant: str | None) -> Collection:
        index = Index.open(name, store)
        whose = tenant or "default"
        return Collection(name, model.name, model.dimension, len(index.document_states(whose)), whose)

    async def document(name: str, source: str, tenant: str | None) -> Any:
        return Index.open(name, store).document(tenant or "default", source)

    with changed_settings(home=tmp_path):
        api, behind = build_api(), Behind(indexer)
        behind.deployments.retriever.collection = SimpleNamespace(remote=collection)  # type: ignore[union-attr]
        behind.deployments.retriever.document = SimpleNamespace(remote=document)  # type: ignore[union-attr]
        api.dependency_overrides[deployments] = lambda: behind.deployments
        with TestClient(api, raise_server_exceptions=False) as http:

            async def start() -> None:
                indexer.queue.start()

            http.portal.call(start)  # type: ignore[union-attr]

            def client_of(**bounds: Any) -> openai.OpenAI:
                _, secret = api_keys.create("a test", frozenset({Scope.DOCUMENTS}), **bounds)
                return openai.OpenAI(base_url="http://testserver/v1", api_key=secret, http_client=http, max_retries=0)

            yield client_of


def test_a_store_is_made_filled_changed_and_deleted(client_of: Client, store: MemoryStore) -> None:
    client = client_of()
    file = client.files.create(file=("heron.md", TEXT), purpose="assistants")
    made = client.vector_stores.create(
        name="birds",
        metadata={"team": "field"},
        file_ids=[file.id],
        chunking_strategy=STATIC,
        expires_after={"anchor": "last_active_at", "days": 7},
    )
    assert (made.name, made.metadata, made.object) == ("birds", {"team": "field"}, "vector_store")
    assert made.expires_at == (made.last_active_at or 0) + 7 * 24 * 3_600
    assert made.id in list_collections(store)
    attached = client.vector_stores.files.poll(file.id, vector_store_id=made.id, poll_interval_ms=20)
    assert attached.status == "completed"
    sizes = attached.chunking_strategy.static  # type: ignore[union-attr]
    assert (sizes.max_chunk_size_tokens, sizes.chunk_overlap_tokens) == (READS_TOKENS, READS_TOKENS // 2)
    content = client.vector_stores.files.content(file.id, vector_store_id=made.id).data
    assert "waits for a fish" in str(content[0].text)

    second = client.vector_stores.files.upload_and_poll(
        vector_store_id=made.id, file=("egret.md", b"# Egrets"), attributes={"lang": "en"}, poll_interval_ms=20
    )
    changed = client.vector_stores.files.update(second.id, vector_store_id=made.id, attributes={"lang": "de"})
    assert changed.attributes == {"lang": "de"}
    client.vector_stores.files.poll(second.id, vector_store_id=made.id, poll_interval_ms=20)
    (chunk,) = Index.open(made.id, store).document("default", f"{second.id}/egret.md")
    assert chunk.metadata == {"lang": "de"}

    found = client.vector_stores.retrieve(made.id)
    assert (found.file_counts.completed, found.file_counts.total, found.status) == (2, 2, "completed")
    assert found.usage_bytes == len(TEXT) + len(b"# Egrets")
    renamed = client.vector_stores.update(made.id, name="water birds", metadata=None, expires_after=None)
    assert (renamed.name, renamed.metadata, renamed.expires_at) == ("water birds", {}, None)
    assert [one.id for one in client.vector_stores.list()] == [made.id, "docs"]

    assert client.vector_stores.delete(made.id).deleted
    assert [one.id for one in client.vector_stores.list()] == ["docs"]
    assert list_collections(store) == ["docs"]
    assert {one.id for one in client.files.list()} == {file.id, second.id}
    with pytest.raises(openai.NotFoundError, match="no collection"):
        client.vector_stores.retrieve(made.id)


def test_a_store_is_its_tenants_or_everybodys(client_of: Client, store: MemoryStore) -> None:
    acme, other, anybody = client_of(tenant="acme"), client_of(tenant="other"), client_of()
    of_acme, of_all = acme.vector_stores.create(name="a").id, anybody.vector_stores.create(name="b").id
    assert {one.id for one in acme.vector_stores.list()} == {of_acme, of_all, "docs"}
    assert {one.id for one in other.vector_stores.list()} == {of_all, "docs"}
    assert {one.id for one in anybody.vector_stores.list()} == {of_acme, of_all, "docs"}
    for ask in (other.vector_stores.retrieve, other.vector_stores.update, other.vector_stores.delete):
        with pytest.raises(openai.NotFoundError, match="no collection"):
            ask(of_acme)
    with pytest.raises(openai.PermissionDeniedError, match="for every tenant"):
        acme.vector_stores.delete(of_all)
    with pytest.raises(openai.ConflictError, match="of the server's configuration"):
        anybody.vector_stores.delete("docs")
    with pytest.raises(openai.PermissionDeniedError, match="bound to collections"):
        client_of(collections=("docs",)).vector_stores.create()
    with pytest.raises(openai.ConflictError, match="There are 2 collections already"):
        acme.vector_stores.create()
    bound = client_of(collections=(of_all,))
    assert [one.id for one in bound.vector_stores.list()] == [of_all]
    assert bound.vector_stores.delete(of_all).deleted


def test_a_store_whose_index_is_gone_does_not_hide_the_others(client_of: Client, store: MemoryStore) -> None:
    client = client_of()
    made = client.vector_stores.create(name="a").id
    Index.open(made, store).drop()
    assert [one.id for one in client.vector_stores.list()] == ["docs"]


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ({"metadata": {str(n): "x" for n in range(17)}}, "metadata"),
        ({"file_ids": ["file-1"]}, "There is no file 'file-1'"),
        ({"expires_after": {"anchor": "last_active_at", "days": 0}}, "expires_after.days"),
        ({"chunking_strategy": {"type": "static", "static": {"max_chunk_size_tokens": 99}}}, "max_chunk_size_tokens"),
        (
            {
                "chunking_strategy": {
                    "type": "static",
                    "static": {"max_chunk_size_tokens": 100, "chunk_overlap_tokens": 51},
                }
            },
            "more than half of max_chunk_size_tokens",
        ),
        ({"chunking_strategy": {"type": "semantic"}}, "chunking_strategy"),
    ],
)
def test_what_makes_no_store_is_a_sentence_and_leaves_none(
    client_of: Client, store: MemoryStore, wanted: Any, message: str
) -> None:
    with pytest.raises(openai.APIStatusError) as refused:
        client_of().vector_stores.create(**wanted)
    assert refused.value.status_code in (400, 404)
    assert message in refused.value.message
    assert (list_collections(store), made_collections.made()) == (["docs"], [])


def test_a_batch_is_cancelled(client_of: Client) -> None:
    client = client_of()
    files = [client.files.create(file=(f"{n}.md", TEXT), purpose="assistants").id for n in range(3)]
    batch = client.vector_stores.file_batches.create("docs", file_ids=files, chunking_strategy={"type": "auto"})
    cancelled = client.vector_stores.file_batches.cancel(batch.id, vector_store_id="docs")
    counts = cancelled.file_counts
    assert (counts.in_progress, counts.total) == (0, 3)
    assert cancelled.status == ("cancelled" if counts.cancelled else "completed")
    client.vector_stores.file_batches.create_and_poll("docs", file_ids=files, poll_interval_ms=20)
    assert client.vector_stores.retrieve("docs").file_counts.completed == 3
    with pytest.raises(openai.NotFoundError, match="no batch"):
        client.vector_stores.file_batches.cancel("vsfb_1", vector_store_id="docs")


# ------------------------------------------------------------ files and uploads


def test_a_file_is_kept_with_its_purpose_until_it_expires(client_of: Client) -> None:
    client = client_of()
    file = client.files.create(
        file=("a.md", b"text"), purpose="user_data", expires_after={"anchor": "created_at", "seconds": 3_600}
    )
    assert (file.purpose, file.expires_at) == ("user_data", file.created_at + 3_600)
    assert client.files.content(file.id).read() == b"text"
    assert [one.id for one in client.files.list(purpose="user_data")] == [file.id]
    with pytest.raises(openai.BadRequestError, match="expires_after"):
        client.files.create(
            file=("a.md", b"text"), purpose="user_data", expires_after={"anchor": "created_at", "seconds": 1}
        )


def test_an_upload_in_parts_becomes_the_file(client_of: Client) -> None:
    client = client_of()
    upload = client.uploads.upload_file_chunked(
        file=TEXT, filename="heron.md", bytes=len(TEXT), mime_type="text/markdown", purpose="assistants", part_size=300
    )
    assert (upload.status, upload.file is not None) == ("completed", True)
    assert client.files.content(upload.file.id).read() == TEXT  # type: ignore[union-attr]
    assert not list(root().glob("upload_*/part_*"))
    again = client.uploads.complete(upload.id, part_ids=["part_1"])  # a client whose answer was lost
    assert again.file == upload.file


def begun(client: openai.OpenAI, size: int) -> str:
    return client.uploads.create(filename="a.md", bytes=size, mime_type="text/markdown", purpose="assistants").id


def test_an_upload_is_bounded_and_can_be_cancelled(client_of: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    client = client_of(tenant="acme")
    upload = begun(client, 4)
    part = client.uploads.parts.create(upload, data=b"tex")
    with pytest.raises(openai.APIStatusError, match="more than the 4 bytes"):
        client.uploads.parts.create(upload, data=b"xt")
    for parts, message in (([part.id], "are 3 bytes"), (["part_1"], "no part"), ([part.id] * 2, "named twice")):
        with pytest.raises(openai.BadRequestError, match=message):
            client.uploads.complete(upload, part_ids=parts)
    second = client.uploads.parts.create(upload, data=b"t")
    with pytest.raises(openai.BadRequestError, match="another MD5"):
        client.uploads.complete(upload, part_ids=[part.id, second.id], md5="0" * 32)
    with pytest.raises(openai.NotFoundError, match="no upload"):
        client_of(tenant="other").uploads.cancel(upload)
    assert client.uploads.cancel(upload).status == "cancelled"
    for ended in (
        lambda: client.uploads.parts.create(upload, data=b"t"),
        lambda: client.uploads.complete(upload, part_ids=[part.id, second.id]),
        lambda: client.uploads.cancel(upload),
    ):
        with pytest.raises(openai.ConflictError, match="is cancelled"):
            ended()
    with pytest.raises(openai.APIStatusError, match="larger than 100 MiB"):
        begun(client, 101 * 2**20)
    monkeypatch.setattr(multipart, "_MAX_PENDING", 1)
    begun(client, 4)
    with pytest.raises(openai.ConflictError, match="are begun and not completed"):
        begun(client, 4)
    begun(client_of(tenant="other"), 4)
    assert list(client.files.list()) == []


def test_an_upload_that_is_abandoned_is_forgotten(client_of: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    client = client_of()
    upload = begun(client, 4)
    client.uploads.parts.create(upload, data=io.BytesIO(b"text"))
    now = multipart.find(upload).expires_at
    monkeypatch.setattr("time.time", lambda: now)
    with pytest.raises(openai.ConflictError, match="is expired"):
        client.uploads.cancel(upload)
    multipart.tidy()
    assert not list(root().glob("*upload_*"))
