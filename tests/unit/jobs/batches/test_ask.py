"""The stage of a batch that asks, against an application that is a function."""

import json
import time
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pytest
from ray import serve

from plait.client_jobs.batches import Batch, Served
from plait.documents.uploads.reach import EVERYTHING
from plait.errors import Unavailable
from plait.jobs.batches import ask
from plait.jobs.batches.ask import ANSWERS, AskApplication

ROWS = pa.Table.from_pylist([{"place": n, "custom_id": f"r{n}", "body": "{}"} for n in range(2)])


def asking(monkeypatch: pytest.MonkeyPatch, said: list[Any], expires_in_s: float = 60) -> AskApplication:
    """One that hears these answers in turn; exceptions are raised."""

    def result() -> Any:
        answer = said.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    method = SimpleNamespace(remote=lambda *_: SimpleNamespace(result=result))
    handle = SimpleNamespace(options=lambda **_: method)
    monkeypatch.setattr(serve, "get_deployment_handle", lambda *_: handle)
    monkeypatch.setattr(ask, "_FIRST_PAUSE_S", 0.01)
    batch = Batch(
        id="batch_1",
        created_at=0,
        of=EVERYTHING,
        owner="o",
        key_id="k",
        base_url="http://here",
        endpoint="/v1/embeddings",
        input_file_id="f",
        expires_at=int(time.time() + expires_in_s),
    )
    return AskApplication(batch, "plait")


def served(status: int = 200) -> Served:
    return Served(status, "id", b'{"a": 1}')


def test_a_full_or_missing_application_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    said = [served(429), served(503), RuntimeError("the replica died"), served(), served(400)]
    answers = asking(monkeypatch, said)(ROWS)
    assert answers.schema == ANSWERS
    assert [(row["place"], row["is_good"]) for row in answers.to_pylist()] == [(0, True), (1, False)]
    line = json.loads(answers["line"][0].as_py())
    assert line["custom_id"] == "r0"
    assert line["response"] == {"status_code": 200, "request_id": "id", "body": {"a": 1}}
    assert said == []


def test_what_a_batch_has_no_time_for_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    assert asking(monkeypatch, [], expires_in_s=-1)(ROWS).num_rows == 0


def test_an_application_that_stays_away_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ask, "_GIVE_UP_S", 0.0)
    with pytest.raises(Unavailable, match="The application does not answer \\(gone\\)"):
        asking(monkeypatch, [RuntimeError("gone"), RuntimeError("gone")])(ROWS)
