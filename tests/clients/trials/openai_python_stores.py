"""Vector stores, files and uploads by the `openai` package."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from openai import NotFoundError, OpenAI
from trial import URL, feature, run

client = OpenAI(base_url=URL, api_key=os.environ["PLAIT_KEY"])
HERONS = b"# Herons\n\n" + b"The heron stands in the water and waits for a fish. " * 20
QUESTION = "What does the heron wait for?"


@contextmanager
def store(**options: Any) -> Iterator[Any]:
    made = client.vector_stores.create(name="birds", **options)
    try:
        yield made
    finally:
        client.vector_stores.delete(made.id)


@contextmanager
def file() -> Iterator[Any]:
    sent = client.files.create(file=("herons.md", HERONS), purpose="assistants")
    try:
        yield sent
    finally:
        client.files.delete(sent.id)


@feature
def stores_made_changed_listed_deleted() -> None:
    with store(expires_after={"anchor": "last_active_at", "days": 1}) as made:
        changed = client.vector_stores.update(made.id, name="waders", metadata={"kind": "birds"})
        assert (changed.name, changed.metadata) == ("waders", {"kind": "birds"})
        assert made.id in {each.id for each in client.vector_stores.list()}
        assert client.vector_stores.retrieve(made.id).expires_after.days == 1
    try:
        client.vector_stores.retrieve(made.id)
    except NotFoundError:
        return
    raise AssertionError("the store is still there")


@feature
def files_of_a_store_searched() -> None:
    with file() as sent, store(file_ids=[sent.id]) as made:
        attached = client.vector_stores.files.poll(sent.id, vector_store_id=made.id)
        assert attached.status == "completed", attached.last_error
        client.vector_stores.files.update(sent.id, vector_store_id=made.id, attributes={"kind": "bird"})
        client.vector_stores.files.poll(sent.id, vector_store_id=made.id)  # it is indexed anew
        found = client.vector_stores.search(
            made.id, query=QUESTION, filters={"type": "eq", "key": "kind", "value": "bird"}
        ).data
        assert found[0].filename == "herons.md"
        assert "waits for a fish" in found[0].content[0].text
        assert (
            client.vector_stores.search(
                made.id, query=QUESTION, filters={"type": "eq", "key": "kind", "value": "fish"}
            ).data
            == []
        )
        assert "heron" in client.vector_stores.files.content(sent.id, vector_store_id=made.id).data[0].text
        client.vector_stores.files.delete(sent.id, vector_store_id=made.id)
        assert client.vector_stores.files.list(made.id).data == []


@feature
def static_chunks() -> None:
    static: Any = {"type": "static", "static": {"max_chunk_size_tokens": 100, "chunk_overlap_tokens": 20}}
    with file() as sent, store() as made:
        client.vector_stores.files.create_and_poll(sent.id, vector_store_id=made.id, chunking_strategy=static)
        assert len(client.vector_stores.files.content(sent.id, vector_store_id=made.id).data) > 1


@feature
def file_search_in_responses() -> None:
    with store() as made:
        sent = client.vector_stores.files.upload_and_poll(vector_store_id=made.id, file=("herons.md", HERONS))
        tool: Any = {"type": "file_search", "vector_store_ids": [made.id]}
        search, message = client.responses.create(model="base", input=QUESTION, tools=[tool]).output
        assert search.type == "file_search_call"
        cited = message.content[0].annotations[0]
        assert (cited.type, cited.file_id) == ("file_citation", sent.id)
        client.files.delete(sent.id)


@feature
def chat_from_the_default_store() -> None:
    with file() as sent:
        client.vector_stores.files.create_and_poll(sent.id, vector_store_id="trials")
        message = client.chat.completions.create(model="rag/base", messages=[{"role": "user", "content": QUESTION}])
        assert message.choices[0].message.annotations[0].type == "url_citation"


@feature
def batches_of_files() -> None:
    with store() as made:
        batch = client.vector_stores.file_batches.upload_and_poll(
            made.id, files=[("herons.md", HERONS), ("more.md", HERONS)]
        )
        assert batch.status == "completed"
        sent = [each.id for each in client.vector_stores.file_batches.list_files(batch.id, vector_store_id=made.id)]
        assert batch.file_counts.completed == len(sent) == 2
        for each in sent:
            client.files.delete(each)


@feature
def batches_of_files_cancelled() -> None:
    with file() as sent, store() as made:
        batch = client.vector_stores.file_batches.create(made.id, file_ids=[sent.id])
        ended = client.vector_stores.file_batches.cancel(batch.id, vector_store_id=made.id)
        assert ended.status in ("cancelled", "completed")  # it may be indexed by then


@feature
def files_listed_and_their_content() -> None:
    with file() as sent:
        assert sent.id in {each.id for each in client.files.list(purpose="assistants")}
        assert client.files.retrieve(sent.id).bytes == len(HERONS)
        assert client.files.content(sent.id).read() == HERONS


@feature
def uploads() -> None:
    whole = client.uploads.upload_file_chunked(
        file=HERONS,
        filename="herons.md",
        bytes=len(HERONS),
        mime_type="text/markdown",
        purpose="assistants",
        part_size=300,
    )
    assert (whole.status, whole.file.bytes) == ("completed", len(HERONS))
    client.files.delete(whole.file.id)


@feature
def uploads_cancelled() -> None:
    begun = client.uploads.create(bytes=9, filename="x.md", mime_type="text/markdown", purpose="assistants")
    assert client.uploads.cancel(begun.id).status == "cancelled"


run()
