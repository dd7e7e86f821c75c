"""The routes of files and of vector stores' files, over real files and without a cluster."""

import asyncio
import errno
import io
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from changed_settings import changed_settings
from described import strict_description, validator
from fastapi.testclient import TestClient
from ray.exceptions import RayTaskError
from serve_api.every_route import Behind, IdleIndexer

from plait import whole_files
from plait.documents.uploads import attachments, uploaded_files
from plait.documents.uploads.attachments import AttachmentOptions
from plait.documents.uploads.reach import EVERYTHING, Reach
from plait.errors import Forbidden
from plait.serve.api.errors import as_plait_error
from plait.serve.api.services import deployments
from plait.serve.ingress import build_api

KEY = {"Authorization": "Bearer a-key"}
FILES = "/v1/vector_stores/docs/files"


@pytest.fixture
def client(tmp_path: Path) -> Iterator[TestClient]:
    with changed_settings(home=tmp_path, admin_key="a-key"):
        api, behind = build_api(), Behind()
        api.dependency_overrides[deployments] = lambda: behind.deployments
        yield TestClient(api, headers=KEY, raise_server_exceptions=False)


def sent(client: TestClient, name: str = "a.md", data: bytes = b"text") -> dict[str, Any]:
    answer = client.post("/v1/files", files={"file": (name, data)}, data={"purpose": "assistants"})
    assert answer.status_code == 200, answer.text
    file: dict[str, Any] = answer.json()
    return file


def test_answers_follow_the_description(client: TestClient) -> None:
    document = strict_description()
    file_id = sent(client)["id"]
    new = {"file_id": file_id, "attributes": {"year": 2026.5, "is_old": True, "by": "us"}}
    requests: list[tuple[str, str, dict[str, Any]]] = [
        ("post", "/v1/files", {"files": {"file": ("b.md", b"b")}}),
        ("get", "/v1/files", {}),
        ("get", "/v1/files/{file_id}", {}),
        ("post", "/v1/vector_stores/{store_id}/files", {"json": new}),
        ("get", "/v1/vector_stores/{store_id}/files", {}),
        ("get", "/v1/vector_stores/{store_id}/files/{file_id}", {}),
        ("get", "/v1/vector_stores/{store_id}/files/{file_id}/content", {}),
        ("post", "/v1/vector_stores/{store_id}/files/{file_id}", {"json": {"attributes": None}}),
        ("post", "/v1/vector_stores", {"json": {"name": "birds", "metadata": {"team": "field"}}}),
        ("post", "/v1/uploads", {"json": {"filename": "b.md", "purpose": "assistants", "bytes": 4}}),
        ("delete", "/v1/vector_stores/{store_id}/files/{file_id}", {}),
        ("delete", "/v1/files/{file_id}", {}),
    ]
    for method, path, sending in requests:
        answer = client.request(method, path.format(file_id=file_id, store_id="docs"), **sending)
        assert answer.status_code == 200, (method, path, answer.text)
        described = document["paths"][path][method]["responses"]
        validator(document, described["200"]["content"]["application/json"]["schema"]).validate(answer.json())
        refused = client.request(
            method, path.format(file_id="file-0", store_id="no"), **sending, headers={"Authorization": ""}
        )
        assert refused.status_code == 401
        validator(document, described["401"]["content"]["application/json"]["schema"]).validate(refused.json())


def test_a_file_waits_in_the_store_until_it_is_indexed(client: TestClient) -> None:
    file = sent(client)
    waiting = client.post(FILES, json={"file_id": file["id"], "attributes": {"year": 2026}}).json()
    assert (waiting["status"], waiting["attributes"], waiting["last_error"]) == ("in_progress", {"year": 2026}, None)
    assert [f["id"] for f in client.get(FILES, params={"filter": "in_progress"}).json()["data"]] == [file["id"]]
    assert client.get(FILES, params={"filter": "completed"}).json()["data"] == []
    assert client.delete(f"/v1/files/{file['id']}").json()["deleted"]
    assert client.get(FILES).json()["data"] == client.get("/v1/files").json()["data"] == []


def test_a_state_that_cannot_be_read_is_a_failed_file_that_can_be_deleted(client: TestClient) -> None:
    good, bad, worse = (sent(client)["id"] for _ in range(3))
    for file_id in (good, bad, worse):
        client.post(FILES, json={"file_id": file_id})
    (state,) = uploaded_files.file(bad).path.parent.glob(".in-*")
    state.write_text(state.read_text().replace('"attributes":{}', '"attributes":{"x":NaN}'))
    (state,) = uploaded_files.file(worse).path.parent.glob(".in-*")
    state.write_bytes(b"\0")
    (uploaded_files.file(worse).path.parent / ".file.json").write_bytes(b"")
    listed = {file["id"]: file for file in client.get(FILES).json()["data"]}
    assert {file_id: file["status"] for file_id, file in listed.items()} == {
        good: "in_progress",
        bad: "failed",
        worse: "failed",
    }
    assert "cannot be read" in client.get(f"{FILES}/{bad}").json()["last_error"]["message"]
    described = client.get(f"/v1/files/{worse}").json()
    assert (described["status"], "cannot be read" in described["status_details"]) == ("error", True)
    refused = client.post(FILES, json={"file_id": worse})
    assert (refused.status_code, "cannot be used" in refused.json()["error"]["message"]) == (400, True)
    assert client.delete(f"{FILES}/{bad}").status_code == 200
    assert client.delete(f"/v1/files/{worse}").status_code == 200
    assert [file["id"] for file in client.get(FILES).json()["data"]] == [good]


def test_a_full_disk_is_a_sentence_and_leaves_nothing(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    files = [sent(client)["id"] for _ in range(2)]
    full_after = iter([0, 0])  # the first state and its folder still reach the disk

    def flush(_: int) -> None:
        if next(full_after, None) is None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(whole_files.os, "fsync", flush)
    attached = client.post("/v1/vector_stores/docs/file_batches", json={"file_ids": files})
    kept = client.post("/v1/files", files={"file": ("a.md", b"x")})
    for answer in (attached, kept):
        assert (answer.status_code, answer.json()["error"]["code"]) == (507, "insufficient_storage")
        assert "is full" in answer.json()["error"]["message"]
    assert attachments.of_collection("docs") == []
    assert {file["id"] for file in client.get("/v1/files").json()["data"]} == set(files)
    assert not list(uploaded_files.file(files[0]).path.parent.parent.rglob(".part-*"))


def test_a_disk_that_is_full_in_another_process_is_told_as_such() -> None:
    wrapped = RayTaskError("load_adapter", "a traceback", OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))
    assert as_plait_error(wrapped.as_instanceof_cause()).http_status == 507
    assert as_plait_error(OSError(errno.EDQUOT, os.strerror(errno.EDQUOT))).code == "insufficient_storage"


def test_a_file_in_another_collection_is_not_forgotten(client: TestClient) -> None:
    file = sent(client)
    attachments.write(
        attachments.Attachment(file_id=file["id"], collection="other", tenant="default", created_at=1, attributes={})
    )
    refused = client.delete(f"/v1/files/{file['id']}")
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "conflict")
    assert client.get(f"/v1/files/{file['id']}/content").content == b"text"


@pytest.mark.parametrize(
    ("sending", "message"),
    [
        ({"data": {"purpose": "x"}}, "no file in the field 'file'"),
        ({"files": {"file": ("", b"x")}}, "no file in the field 'file'"),
        ({"files": {"file": (".a.md", b"x")}}, "cannot be named"),
        ({"files": {"file": ("a.md", b"")}}, "is empty"),
        ({"files": [("file", ("a.md", b"x")), ("file", ("b.md", b"x"))]}, "Too many files"),
        ({"json": {"file": "x"}}, "no file in the field 'file'"),
        ({"content": b"--x", "headers": {"Content-Type": "multipart/form-data"}}, "boundary"),
    ],
)
def test_what_is_no_upload_is_a_sentence(client: TestClient, sending: dict[str, Any], message: str) -> None:
    answer = client.post("/v1/files", **sending)
    assert answer.status_code == 400, answer.text
    assert message in answer.json()["error"]["message"]
    assert uploaded_files.files() == []


@pytest.mark.parametrize(
    ("change", "status", "message"),
    [
        ({"file_id": "file-1"}, 404, "There is no file 'file-1'"),
        ({"attributes": {"a": "x" * 513}}, 400, "attributes"),
        ({"attributes": {str(n): n for n in range(17)}}, 400, "attributes"),
        ({"chunking_strategy": {"type": "static", "static": {}}}, 400, "chunking_strategy"),
        ({"topk": 1}, 400, "topk"),
    ],
)
def test_what_cannot_be_put_into_a_store_is_a_sentence(
    client: TestClient, change: dict[str, Any], status: int, message: str
) -> None:
    answer = client.post(FILES, json={"file_id": sent(client)["id"]} | change)
    assert (answer.status_code, message in answer.json()["error"]["message"]) == (status, True), answer.text


def test_a_file_that_is_also_elsewhere_is_not_deleted_by_who_may_not_go_there(client: TestClient) -> None:
    narrow = Reach(collections=("docs",))
    file = uploaded_files.save("a.md", "assistants", io.BytesIO(b"text"), narrow)
    for collection in ("docs", "secret"):
        attachments.write(
            attachments.Attachment(
                file_id=file.id, collection=collection, tenant="default", created_at=1, attributes={}
            )
        )
    with pytest.raises(Forbidden, match="may not change anything"):
        asyncio.run(IdleIndexer().detach_and_delete(file.id, narrow))
    assert len(attachments.of_file(file.id)) == 2


def test_what_was_attached_anew_meanwhile_keeps_its_turn(client: TestClient) -> None:
    file = uploaded_files.save("a.md", "assistants", io.BytesIO(b"text"))
    (first,) = asyncio.run(
        IdleIndexer().attach("docs", {file.id: AttachmentOptions(attributes={"year": 2025})}, EVERYTHING)
    )
    (anew,) = asyncio.run(
        IdleIndexer().attach("docs", {file.id: AttachmentOptions(attributes={"year": 2026})}, EVERYTHING)
    )
    attachments.note(first, status="completed")
    assert attachments.of_collection("docs") == [anew]
    attachments.note(anew, status="completed")
    assert [a.status for a in attachments.of_collection("docs")] == ["completed"]


def in_progress(**fields: Any) -> attachments.Attachment:
    file = uploaded_files.save("a.md", "assistants", io.BytesIO(b"text"))
    one = attachments.Attachment(
        file_id=file.id, collection="docs", tenant="default", created_at=1, attributes={}, **fields
    )
    attachments.write(one)
    return one


def test_a_file_that_ended_the_server_is_not_taken_up_again_by_itself(client: TestClient) -> None:
    guilty, innocent = in_progress(is_being_read=True), in_progress()

    async def started() -> attachments.Attachment:
        indexer = IdleIndexer()
        for unfinished in (guilty, innocent):
            await indexer._take_up_again(unfinished)
        return await asyncio.wait_for(indexer._queue._turns.next(), 1)

    assert asyncio.run(started()) == innocent
    found = attachments.find(guilty.file_id, "docs", "default")
    assert (found.status, found.is_being_read) == ("failed", False)
    assert "ended while it read this file" in str(found.error)


def test_the_mark_of_a_file_that_is_being_read_goes_when_the_server_ends_in_good_order(client: TestClient) -> None:
    attached, indexer = in_progress(), IdleIndexer()
    with indexer._marked(attached):
        assert attachments.find(attached.file_id, "docs", "default").is_being_read
        indexer.__del__()
        assert attachments.find(attached.file_id, "docs", "default") == attached
    assert attachments.find(attached.file_id, "docs", "default") == attached


def test_a_file_that_is_taken_out_while_it_is_in_work_is_worked_on_no_longer(client: TestClient) -> None:
    class Stuck(IdleIndexer):
        async def _bring(self, file: Any, attached: Any, reader: Any, is_left_off: Any) -> int:
            with self._marked(attached):
                at_work.set()
                await asyncio.sleep(60)
            return 1

    attached = in_progress()

    async def left() -> None:
        indexer = Stuck()
        indexer._queue.start()
        await indexer._queue.put(attached)
        await asyncio.wait_for(at_work.wait(), 5)
        await asyncio.wait_for(indexer.detach("docs", attached.file_id, None), 5)
        await asyncio.sleep(0)
        assert not indexer._queue._in_work

    at_work = asyncio.Event()
    asyncio.run(left())
    assert attachments.of_collection("docs") == []


def test_a_batch_is_the_files_that_were_put_there_together(client: TestClient) -> None:
    one, two = (sent(client, name)["id"] for name in ("a.md", "b.md"))
    batches = "/v1/vector_stores/docs/file_batches"
    made = client.post(batches, json={"file_ids": [one, two], "attributes": {"lang": "en"}}).json()
    counts = {"completed": 0, "failed": 0, "cancelled": 0, "in_progress": 2, "total": 2}
    assert (made["object"], made["status"], made["file_counts"]) == ("vector_store.files_batch", "in_progress", counts)
    attachments.note(attachments.find(one, "docs", "default"), status="completed")
    attachments.note(attachments.find(two, "docs", "default"), status="failed", error="why")
    now = client.get(f"{batches}/{made['id']}").json()
    assert (now["status"], now["file_counts"]["completed"], now["file_counts"]["failed"]) == ("completed", 1, 1)
    listed = client.get(f"{batches}/{made['id']}/files", params={"filter": "completed"}).json()["data"]
    assert [(file["id"], file["attributes"]) for file in listed] == [(one, {"lang": "en"})]
    other = client.post(batches, json={"files": [{"file_id": one, "attributes": {"year": 1.5}}]}).json()
    assert client.get(f"{batches}/{other['id']}/files").json()["data"][0]["attributes"] == {"year": 1.5}
    assert client.get(f"{batches}/{made['id']}").json()["file_counts"]["total"] == 1


@pytest.mark.parametrize(
    ("change", "status", "message"),
    [
        ({"file_ids": ["file-1"]}, 404, "There is no file 'file-1'"),
        ({"file_ids": []}, 400, "file_ids"),
        ({}, 400, "either file_ids or files"),
        ({"files": [{"file_id": "x"}], "attributes": {"a": 1}}, 400, "each of files has its own"),
    ],
)
def test_a_batch_that_cannot_be_whole_is_none(
    client: TestClient, change: dict[str, Any], status: int, message: str
) -> None:
    good = sent(client)["id"]
    if status == 404:
        change = {"file_ids": [good, *change["file_ids"]]}
    answer = client.post("/v1/vector_stores/docs/file_batches", json=change)
    assert answer.status_code == status
    assert message in answer.json()["error"]["message"]
    assert attachments.of_collection("docs") == []
    assert client.get("/v1/vector_stores/docs/file_batches/vsfb_1").status_code == 404


def pieces_of_a_form(data: bytes, name: str = "a.md") -> Iterator[bytes]:
    yield f'--b\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n\r\n'.encode()
    for start in range(0, len(data), 1_000):
        yield data[start : start + 1_000]
    yield b"\r\n--b--\r\n"


CHUNKED = {"Content-Type": "multipart/form-data; boundary=b"}


@pytest.mark.parametrize("data", [b"text", b"x" * 5_000, "ö\r\n--".encode() * 700])
def test_an_upload_may_come_in_chunks_that_do_not_say_how_long_it_is(client: TestClient, data: bytes) -> None:
    answer = client.post("/v1/files", content=pieces_of_a_form(data), headers=CHUNKED)
    assert answer.status_code == 200, answer.text
    assert client.get(f"/v1/files/{answer.json()['id']}/content").content == data


def test_an_upload_that_is_too_large_is_413_and_leaves_nothing(
    client: TestClient, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(uploaded_files, "MAX_BYTES", 10_000)
    for size in (10_001, 200_000):  # the file alone, and more than the whole form may have
        data = b"x" * size
        for sending in (
            {"content": pieces_of_a_form(data), "headers": CHUNKED},
            {"files": {"file": ("a.md", data)}},
        ):
            answer = client.post("/v1/files", **sending)  # type: ignore[arg-type]
            assert (answer.status_code, answer.json()["error"]["code"]) == (413, "too_large")
            assert "larger than" in answer.json()["error"]["message"]
    assert client.get("/v1/files").json()["data"] == []
    assert list((tmp_path / "uploads").iterdir()) == []


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ('filename="naïve ☃.md"', "naïve ☃.md"),
        ("filename*=UTF-8''na%C3%AFve%20%E2%98%83.md", "naïve ☃.md"),  # urllib3
        ("filename=\"x.md\"; filename*=utf-8''%F0%9F%98%80.md", "\U0001f600.md"),
        ("filename*=iso-8859-1'en'%A3.md", "£.md"),
        ("filename=\"=?utf-8?B?bmHDr3ZlLm1k?=\"; filename*=utf-8''na%C3%AFve.md", "naïve.md"),  # .NET
        ('filename="=?utf-8?B?bmHDr3ZlLm1k?="', "naïve.md"),
        ('filename="=?iso-8859-1?Q?na=EFve_x.md?="', "naïve x.md"),
        ('filename="a %22b%22.md"', 'a "b".md'),  # browsers, httpx
        (r'filename="a \"b\".md"', 'a "b".md'),
        ('filename="100%25 %2F a=?x?=.md"', "100%25 %2F a=?x?=.md"),  # none of these
        ("filename*=utf-8''a%2522.md", "a%22.md"),
    ],
)
def test_a_name_is_kept_as_it_was_meant_however_it_is_written(client: TestClient, written: str, meant: str) -> None:
    form = f'--b\r\nContent-Disposition: form-data; name="file"; {written}\r\n\r\ntext\r\n--b--\r\n'
    answer = client.post("/v1/files", content=form.encode(), headers=CHUNKED)
    assert (answer.status_code, answer.json().get("filename")) == (200, meant)


@pytest.mark.parametrize(
    "written",
    ["filename*=utf-8''..%2Fa%00.md", 'filename="a%0D%0Ab.md"', "filename*=utf-8''", 'filename="=?utf-8?B?AA==?="'],
)
def test_a_name_that_hides_what_no_name_has_is_refused(client: TestClient, written: str) -> None:
    form = f'--b\r\nContent-Disposition: form-data; name="file"; {written}\r\n\r\ntext\r\n--b--\r\n'
    answer = client.post("/v1/files", content=form, headers=CHUNKED)
    assert answer.status_code == 400
    assert client.get("/v1/files").json()["data"] == []


@pytest.mark.parametrize(("name", "text"), [("a.md", "+2D0-"), ("+2D0-.md", "x"), ("a.md", "x +3gA-")])
def test_half_a_character_in_a_form_is_400(client: TestClient, name: str, text: str) -> None:
    part = "--b\r\nContent-Disposition: form-data; name="
    form = f'{part}"purpose"\r\n\r\n{text}\r\n{part}"file"; filename="{name}"\r\n\r\ntext\r\n--b--\r\n'
    headers = {"Content-Type": "multipart/form-data; charset=utf-7; boundary=b"}
    answer = client.post("/v1/files", content=form, headers=headers)
    assert answer.status_code == 400, answer.text
    assert client.get("/v1/files").json()["data"] == []
