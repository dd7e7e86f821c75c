"""Files of requests, and answers that come in any order."""

import json
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from changed_settings import changed_settings

from plait.client_jobs.batch_results import with_results
from plait.client_jobs.batches import BATCHES, Answer, Batch, Served, check_requests, read_requests
from plait.documents.uploads import uploaded_files
from plait.documents.uploads.reach import EVERYTHING
from plait.jobs.batches.job import unanswered

CHAT = "/v1/chat/completions"


def row(custom_id: Any = "a", **changed: Any) -> dict[str, Any]:
    return {"custom_id": custom_id, "method": "POST", "url": CHAT, "body": {"model": "base"}} | changed


def written(folder: Path, *lines: Any) -> Path:
    file = folder / "requests.jsonl"
    file.write_text("\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines))
    return file


@pytest.mark.parametrize(
    ("line", "code", "said"),
    [
        ("{", "invalid_json_line", "it is no valid JSON"),
        ("[]", "invalid_json_line", "it is no JSON object"),
        (row(7), "missing_custom_id", "it needs a custom_id of 1 to 512 characters"),
        (row("first"), "duplicate_custom_id", "'first' stands on line 1, too"),
        (row(method="GET"), "invalid_method", "its method must be POST"),
        (row(url="/v1/embeddings"), "invalid_url", f"its url must be {CHAT}"),
        (row(body=None), "invalid_body", "its body must be an object"),
        (row(body={}), "missing_model", "its body names no model"),
        (row(body={"model": "base", "stream": True}), "invalid_body", "stream has no place in a batch"),
    ],
)
def test_a_line_that_is_wrong_is_named_with_its_number(tmp_path: Path, line: Any, code: str, said: str) -> None:
    found = check_requests(written(tmp_path, row("first"), "", line, row("last")), CHAT, 10)
    (error,) = found.errors
    assert (error.code, error.line) == (code, 3)
    assert error.message.startswith("Line 3: ")
    assert said in error.message


def test_a_file_without_requests_or_with_too_many_is_refused(tmp_path: Path) -> None:
    assert [e.code for e in check_requests(written(tmp_path, "", ""), CHAT, 10).errors] == ["empty_file"]
    many = written(tmp_path, row("a"), row("b"), row("c"))
    assert [e.code for e in check_requests(many, CHAT, 2).errors] == ["too_many_requests"]
    sound = check_requests(many, CHAT, 3)
    assert (sound.total, sound.model, sound.errors) == (3, "base", ())
    assert [(r.place, r.custom_id) for r in read_requests(many)] == [(0, "a"), (1, "b"), (2, "c")]


def ordered(tmp_path: Path, requests: int, **fields: Any) -> Batch:
    lines = "\n".join(json.dumps(row(f"r{n}")) for n in range(requests))
    batch = Batch(
        id=BATCHES.new_id(),
        created_at=1,
        of=EVERYTHING,
        owner="o",
        key_id=None,
        base_url="http://here",
        endpoint=CHAT,
        input_file_id=uploaded_files.save("r.jsonl", "batch", BytesIO(lines.encode())).id,
        expires_at=2,
        total=requests,
        **fields,
    )
    BATCHES.add(batch, {})
    return batch


def answer(place: int, status: int = 200) -> Answer:
    usage = {"prompt_tokens": 5, "completion_tokens": place, "prompt_tokens_details": {"cached_tokens": 1}}
    body = json.dumps(
        {"text": "é", "usage": usage, "plait": {"cost": 0.5}} if status < 400 else {"error": {"code": "x"}}
    )
    return Answer.of(f"batch_req_{place}", place, f"r{place}", Served(status, "req", body.encode()))


def lines_of(file_id: str | None) -> list[dict[str, Any]]:
    assert file_id is not None
    return [json.loads(line) for line in uploaded_files.file(file_id).path.read_text().splitlines()]


def test_results_stand_in_the_order_of_the_requests_and_are_counted(tmp_path: Path) -> None:
    with changed_settings(home=tmp_path):
        batch = ordered(tmp_path, 5, status="completed")
        batch.answers.append([answer(3), answer(1, status=404)])
        batch.answers.append([answer(4), answer(0), answer(2)])
        assert batch.answers.count(0)[:2] == (4, 1)
        done = with_results(batch)
        assert (done.completed, done.failed) == (4, 1)
        assert [line["custom_id"] for line in lines_of(done.output_file_id)] == ["r0", "r2", "r3", "r4"]
        (refused,) = lines_of(done.error_file_id)
        assert (refused["custom_id"], refused["response"]["status_code"], refused["error"]) == ("r1", 404, None)
        assert done.usage is not None
        assert done.usage.model_dump() == {
            "input_tokens": 20,
            "cached_tokens": 4,
            "output_tokens": 9,
            "cost": 2.0,
        }


def test_what_is_not_answered_when_a_batch_expires_is_an_error(tmp_path: Path) -> None:
    with changed_settings(home=tmp_path):
        batch = ordered(tmp_path, 3, status="expired")
        batch.answers.append([answer(1)])
        done = with_results(batch)
        assert (done.completed, done.failed) == (1, 2)
        expired = lines_of(done.error_file_id)
        assert [(line["custom_id"], line["error"]["code"]) for line in expired] == [
            ("r0", "batch_expired"),
            ("r2", "batch_expired"),
        ]


def test_half_an_answer_of_a_killed_process_is_neither_counted_nor_kept(tmp_path: Path) -> None:
    with changed_settings(home=tmp_path):
        batch = ordered(tmp_path, 3)
        log = batch.answers
        log.append([answer(0)])
        file = BATCHES.folder(batch.id) / "answers.log"
        whole = file.read_bytes()
        file.write_bytes(whole + b'1 1 {"id"')
        assert log.count(0) == (1, 0, len(whole))
        assert [request.place for request in unanswered(batch)] == [1, 2]
        log.append([answer(2)])
        assert [request.place for request in unanswered(batch)] == [1]
        assert set(log.places()) == {0, 2}
        assert log.count(len(whole))[:2] == (1, 0)
