"""Collections as OpenAI's client sees them: vector stores to search, files to upload."""

import io
import zipfile
from typing import Any

import openai
import pytest

from plait.index.collection import list_collections
from plait.index.stores.connect import connect_store
from serving.asking import ADMIN_KEY, COLLECTION, OTHER, TEXTS


def test_openais_client_searches_the_collection_as_a_vector_store(client: openai.OpenAI) -> None:
    stores = client.vector_stores.list().data
    assert [(s.id, s.file_counts.completed) for s in stores] == [(COLLECTION, len(TEXTS)), (OTHER, 1)]
    assert client.vector_stores.retrieve(COLLECTION).name == COLLECTION
    found = client.vector_stores.search(COLLECTION, query=TEXTS["cats.md"], max_num_results=1)
    assert [(r.filename, r.content[0].text) for r in found.data] == [("cats.md", TEXTS["cats.md"])]
    other: Any = {"type": "nin", "key": "filename", "value": ["cats.md", "ray.md"]}
    found = client.vector_stores.search(COLLECTION, query=TEXTS["cats.md"], filters=other)
    assert [r.filename for r in found.data] == ["torch.md"]
    found = client.vector_stores.search(OTHER, query=TEXTS["cats.md"])
    assert [r.filename for r in found.data] == ["herons.md"]
    with pytest.raises(openai.NotFoundError, match=f"This application serves '{COLLECTION}' and '{OTHER}'"):
        client.vector_stores.search("elsewhere", query="x")


def test_openais_client_makes_a_store_of_its_own_and_deletes_it(client: openai.OpenAI) -> None:
    admin = client.with_options(api_key=ADMIN_KEY)
    file = admin.files.create(file=("ibis.md", b"The ibis counts the boats."), purpose="assistants")
    store = admin.vector_stores.create(name="birds", file_ids=[file.id])
    attached = admin.vector_stores.files.poll(file.id, vector_store_id=store.id, poll_interval_ms=200)
    assert (attached.status, attached.last_error) == ("completed", None)
    found = client.vector_stores.search(store.id, query="who counts the boats?")
    assert [(r.file_id, r.content[0].text) for r in found.data] == [(file.id, "The ibis counts the boats.")]
    assert [s.id for s in client.vector_stores.list()] == [store.id, COLLECTION, OTHER]
    content = admin.vector_stores.files.content(file.id, vector_store_id=store.id)
    assert [part.text for part in content] == ["The ibis counts the boats."]
    assert admin.vector_stores.delete(store.id).deleted
    with pytest.raises(openai.NotFoundError, match="no collection"):
        client.vector_stores.search(store.id, query="who counts the boats?")
    assert store.id not in list_collections(connect_store())
    assert admin.files.delete(file.id).deleted


def test_openais_client_uploads_a_file_finds_it_and_takes_it_out_again(client: openai.OpenAI) -> None:
    with pytest.raises(openai.AuthenticationError, match="admin key"):
        client.files.create(file=("heron.md", b"x"), purpose="assistants")
    admin = client.with_options(api_key=ADMIN_KEY)
    text = "# Heron\n\nThe heron of the north pier reads 4,711 lines a day."
    attached = admin.vector_stores.files.upload_and_poll(
        vector_store_id=COLLECTION, file=("heron.md", text.encode()), poll_interval_ms=200
    )
    assert (attached.status, attached.last_error, attached.usage_bytes) == ("completed", None, len(text))
    assert admin.files.content(attached.id).text == text
    kept = admin.files.retrieve(attached.id)
    assert (kept.filename, kept.bytes) == ("heron.md", len(text))
    found = client.vector_stores.search(COLLECTION, query="the heron of the north pier", max_num_results=1)
    assert [(r.file_id, r.filename) for r in found.data] == [(attached.id, "heron.md")]
    assert "4,711 lines" in found.data[0].content[0].text

    def named(kind: str, *names: str) -> set[str]:
        value = list(names) if kind in ("in", "nin") else names[0]
        only: Any = {"type": kind, "key": "filename", "value": value}
        asked = client.vector_stores.search(COLLECTION, query="heron", filters=only, max_num_results=10)
        return {result.filename for result in asked.data}

    assert named("eq", "heron.md") == named("in", "heron.md") == named("eq", f"{attached.id}/heron.md") == {"heron.md"}
    assert named("ne", "heron.md") == named("nin", "heron.md", "x.md") == set(TEXTS)
    assert named("eq", "her_n.md") == named("eq", "%") == set()
    assert named("in", "heron.md", "cats.md") == {"heron.md", "cats.md"}

    broken = admin.files.create(file=("broken.pdf", b"no pdf"), purpose="assistants")
    failed = admin.vector_stores.files.create_and_poll(
        file_id=broken.id, vector_store_id=COLLECTION, attributes={"year": 2026}, poll_interval_ms=200
    )
    assert failed.status == "failed"
    assert failed.last_error is not None
    assert "'broken.pdf' cannot be indexed" in failed.last_error.message
    bomb = io.BytesIO()
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as book, book.open("a.html", "w") as page:
        for _ in range(270):
            page.write(b" " * 2**20)
    too_much = admin.vector_stores.files.upload_and_poll(
        vector_store_id=COLLECTION, file=("bomb.epub", bomb.getvalue()), poll_interval_ms=200
    )
    assert too_much.last_error is not None
    assert "limits.max_inflated_bytes" in too_much.last_error.message
    assert admin.files.delete(too_much.id).deleted
    assert {f.id for f in admin.vector_stores.files.list(COLLECTION)} == {attached.id, broken.id}
    assert [f.id for f in admin.vector_stores.files.list(COLLECTION, filter="failed")] == [broken.id]
    odd = admin.files.create(file=("odd.xyz", b"x"), purpose="assistants")
    with pytest.raises(openai.BadRequestError, match="of no known format"):
        admin.vector_stores.files.create(COLLECTION, file_id=odd.id)

    batch = admin.vector_stores.file_batches.upload_and_poll(
        COLLECTION,
        files=[("ibis.md", b"The ibis counts the boats of the south pier."), ("bad.pdf", b"no pdf")],
        poll_interval_ms=200,
    )
    assert (batch.status, batch.file_counts.completed, batch.file_counts.failed) == ("completed", 1, 1)
    of_batch = list(admin.vector_stores.file_batches.list_files(batch.id, vector_store_id=COLLECTION))
    assert sorted(file.status for file in of_batch) == ["completed", "failed"]
    assert named("eq", "ibis.md") == {"ibis.md"}
    for file in of_batch:
        assert admin.files.delete(file.id).deleted

    admin.vector_stores.files.delete(attached.id, vector_store_id=COLLECTION)
    found = client.vector_stores.search(COLLECTION, query="the heron of the north pier")
    assert attached.id not in {r.file_id for r in found.data}
    assert admin.files.delete(broken.id).deleted
    with pytest.raises(openai.NotFoundError, match="There is no file"):
        admin.vector_stores.files.retrieve(broken.id, vector_store_id=COLLECTION)
