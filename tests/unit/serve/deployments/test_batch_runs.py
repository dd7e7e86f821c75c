"""Batches from state to state, on a cluster that does what the test says."""

import json
import time
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from changed_settings import changed_settings
from fake_ray_jobs import FakeRayJobs

from plait.client_jobs.batches import BATCHES, Answer, Batch, Served
from plait.documents.uploads import uploaded_files
from plait.documents.uploads.reach import EVERYTHING
from plait.serve.deployments.batch_runs import BatchRuns
from plait.serve.messages.job_arguments import BatchArguments

URL = "/v1/embeddings"


@pytest.fixture(autouse=True)
def home(tmp_path: Path) -> Iterator[None]:
    with changed_settings(home=tmp_path):
        yield


@pytest.fixture
def jobs() -> FakeRayJobs:
    return FakeRayJobs()


@pytest.fixture
def runs(jobs: FakeRayJobs) -> BatchRuns:
    return BatchRuns(BatchArguments(enabled=True, at_once=3), jobs, "app")


def ordered(requests: int = 2, **fields: Any) -> Batch:
    rows = [
        {"custom_id": str(n), "method": "POST", "url": URL, "body": {"model": "embedding"}} for n in range(requests)
    ]
    text = "\n".join(map(json.dumps, rows)) or "x"
    defaults = {"created_at": 1, "owner": "o", "expires_at": int(time.time()) + 100}
    batch = Batch(
        id=BATCHES.new_id(),
        of=EVERYTHING,
        key_id=None,
        base_url="http://here",
        endpoint=URL,
        input_file_id=uploaded_files.save("r.jsonl", "batch", BytesIO(text.encode())).id,
        **(defaults | fields),
    )
    BATCHES.add(batch, {})
    return batch


def answer(batch: Batch, *places: int) -> None:
    said = Served(200, "id", b"{}")
    batch.answers.append([Answer.of(f"q{place}", place, str(place), said) for place in places])


def look(runs: BatchRuns, batch: Batch, times: int = 1) -> Batch:
    for _ in range(times):
        runs.look()
    return BATCHES.find(batch.id)


def test_a_batch_is_checked_answered_and_written(runs: BatchRuns, jobs: FakeRayJobs) -> None:
    batch = ordered()
    seen = look(runs, batch)
    assert (seen.status, seen.total, seen.model) == ("in_progress", 2, "embedding")
    seen = look(runs, batch)
    submission = f"{batch.id}-1"
    assert jobs.modules == {submission: ["plait.jobs.batches", batch.id, "app", "--at-once=3"]}
    jobs.states[submission] = "running"
    answer(batch, 1)
    assert look(runs, batch).completed == 1
    answer(batch, 0)
    jobs.states[submission] = "succeeded"
    assert look(runs, batch).status == "finalizing"
    done = look(runs, batch)
    assert (done.status, done.completed, done.error_file_id) == ("completed", 2, None)
    assert done.completed_at is not None
    assert done.output_file_id is not None


def test_a_file_with_a_wrong_line_fails_before_anything_is_answered(runs: BatchRuns, jobs: FakeRayJobs) -> None:
    failed = look(runs, ordered(requests=0), times=3)
    assert (failed.status, failed.errors[0].line) == ("failed", 1)
    assert jobs.modules == {}


def test_one_batch_is_answered_at_a_time_and_owners_take_turns(runs: BatchRuns, jobs: FakeRayJobs) -> None:
    first, second, other = ordered(), ordered(created_at=2), ordered(created_at=3, owner="p")
    for _ in range(3):
        runs.look()
    assert list(jobs.modules) == [f"{first.id}-1"]
    answer(first, 0, 1)
    jobs.states[f"{first.id}-1"] = "succeeded"
    for _ in range(3):
        runs.look()
    assert list(jobs.modules)[1:] == [f"{other.id}-1"]
    assert BATCHES.find(second.id).submission_id is None


def test_a_cancelled_batch_keeps_its_answers(runs: BatchRuns, jobs: FakeRayJobs) -> None:
    batch = ordered()
    look(runs, batch, times=2)
    jobs.states[f"{batch.id}-1"] = "running"
    answer(batch, 1)
    BATCHES.ask_to_end(batch.id)
    done = look(runs, batch, times=3)
    assert jobs.stopped == [f"{batch.id}-1"]
    assert (done.status, done.completed, done.failed) == ("cancelled", 1, 0)
    assert done.output_file_id is not None


def test_an_expired_batch_says_what_was_not_answered(runs: BatchRuns, jobs: FakeRayJobs) -> None:
    batch = ordered(expires_at=int(time.time()) - 1)
    done = look(runs, batch, times=3)
    assert (done.status, done.completed, done.failed) == ("expired", 0, 2)
    assert jobs.modules == {}


def test_a_job_that_was_lost_is_started_again_for_what_lacks(runs: BatchRuns, jobs: FakeRayJobs) -> None:
    batch = ordered()
    look(runs, batch, times=2)
    answer(batch, 1)
    jobs.states.clear()  # the cluster was started anew
    seen = look(BatchRuns(BatchArguments(enabled=True), jobs, "app"), batch)
    assert (seen.submission_id, seen.completed) == (None, 1)
    look(runs, batch)
    assert list(jobs.modules) == [f"{batch.id}-1", f"{batch.id}-2"]


def test_a_batch_whose_jobs_answer_nothing_fails_with_what_they_say(runs: BatchRuns, jobs: FakeRayJobs) -> None:
    batch = ordered()
    jobs.said = "The application does not answer."
    runs.look()
    for number in (1, 2, 3):
        runs.look()
        jobs.states[f"{batch.id}-{number}"] = "failed"
        runs.look()
    done = look(runs, batch)
    assert (done.status, done.errors[0].message) == ("failed", "The application does not answer.")
