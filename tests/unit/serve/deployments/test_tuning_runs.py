"""Fine-tuning jobs from state to state, on a cluster that does what the test says."""

from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from changed_settings import changed_settings
from fake_ray_jobs import FakeRayJobs

from plait.adapters.progress import ProgressLog, StepRecord
from plait.client_jobs.tuning import TUNING_JOBS, EventLog, TuningJob, model_name
from plait.documents.uploads import uploaded_files
from plait.documents.uploads.reach import EVERYTHING
from plait.jobs.train.left_out import LeftOutRow, LeftOutRows
from plait.serve.deployments.tuning_runs import TuningRuns
from plait.serve.messages.job_arguments import FineTuningArguments
from plait.settings import settings


@pytest.fixture(autouse=True)
def home(tmp_path: Path) -> Iterator[None]:
    with changed_settings(home=tmp_path):
        yield


@pytest.fixture
def jobs() -> FakeRayJobs:
    return FakeRayJobs()


@pytest.fixture
def runs(jobs: FakeRayJobs) -> TuningRuns:
    return TuningRuns(FineTuningArguments(enabled=True), jobs)


def ordered(rows: bytes = b'{"text": "a"}\n', name: str = "rows.jsonl", **fields: Any) -> TuningJob:
    job_id = TUNING_JOBS.new_id()
    file_id = uploaded_files.save(name, "fine-tune", BytesIO(rows)).id
    defaults = {"created_at": 1, "owner": "o", "of": EVERYTHING, "model": "base", "training_file": file_id}
    job = TuningJob(id=job_id, name=model_name(job_id, None), **(defaults | fields))
    TUNING_JOBS.add(job, {"recipe.yaml": "name: x"})
    return job


def look(runs: TuningRuns, job: TuningJob, times: int = 1) -> TuningJob:
    for _ in range(times):
        runs.look()
    return TUNING_JOBS.find(job.id)


def says(job: TuningJob) -> list[str]:
    return [event.message for event in EventLog(job.id).read()]


def trained(job: TuningJob, steps: int) -> Path:
    """The folder of a run that has done so many steps of 300, with a checkpoint after the last of them."""
    folder = settings().runs_dir / f"{job.name}-abc"
    folder.mkdir(parents=True)
    log = ProgressLog(folder / "progress.jsonl")
    for step in range(1, steps + 1):
        log.append(
            StepRecord(
                step=step,
                total_steps=300,
                loss=2.0,
                lr=1e-4,
                grad_norm=1.0,
                tokens=10,
                tokens_per_second=5.0,
                time_ms=5000,
                flops_share=0.1,
                memory_bytes=1,
                eval_loss=1.5 if step == steps else None,
            )
        )
    return folder


def test_a_job_is_queued_trained_and_told_step_by_step(runs: TuningRuns, jobs: FakeRayJobs) -> None:
    job = ordered()
    assert look(runs, job).status == "queued"
    assert look(runs, job).status == "queued"
    submission = f"{job.id}-1"
    recipe = TUNING_JOBS.folder(job.id) / "recipe.yaml"
    assert jobs.modules == {submission: ["plait.jobs.train", str(recipe)]}
    jobs.states[submission] = "running"
    trained(job, steps=7)
    assert look(runs, job, times=2).status == "running"
    assert says(job)[2:] == [
        "The job has started.",
        "Step 3/300: training loss=2",
        "Step 6/300: training loss=2",
        "Step 7/300: training loss=2, validation loss=1.5",
        "Checkpoint after step 7.",
    ]
    step = EventLog(job.id).read()[5]
    assert (step.type, step.created_at) == ("metrics", 5)
    assert step.data == {"step": 7, "total_steps": 300, "train_loss": 2.0, "valid_loss": 1.5}


def test_a_file_that_cannot_be_read_fails_with_the_line(runs: TuningRuns, jobs: FakeRayJobs) -> None:
    failed = look(runs, ordered(b'{"text": "a"}\n{"text"\n'), times=2)
    assert failed.status == "failed"
    assert failed.error is not None
    assert (failed.error.code, failed.error.param) == ("invalid_file", "training_file")
    assert failed.error.message.startswith("Line 2 of rows.jsonl is not valid JSON")
    assert jobs.modules == {}


def test_a_job_that_is_broken_does_not_hold_up_the_others(runs: TuningRuns) -> None:
    unreadable, odd, sound = ordered(), ordered(created_at=2), ordered(created_at=3)
    (TUNING_JOBS.folder(unreadable.id) / "job.json").write_text("{")
    (TUNING_JOBS.folder(odd.id) / "events.jsonl").mkdir()
    assert look(runs, sound).status == "queued"


def test_a_file_whose_name_looks_like_a_pattern_is_read(runs: TuningRuns) -> None:
    assert look(runs, ordered(name="rows[1].jsonl")).status == "queued"


def test_a_row_that_training_refuses_is_the_error_with_its_line(runs: TuningRuns, jobs: FakeRayJobs) -> None:
    job = ordered()
    look(runs, job, times=2)
    folder = trained(job, steps=1)
    left_out = LeftOutRows(folder.with_name(f"{folder.name}.train.left-out.jsonl"))
    for line in (2, 5):
        left_out.add(LeftOutRow(str(uploaded_files.file(job.training_file).path), line, "is no example", "{}"))
    jobs.states[f"{job.id}-1"] = "failed"
    failed = look(runs, job)
    assert failed.error is not None
    assert failed.error.model_dump() == {
        "code": "invalid_file",
        "message": "Line 2 of rows.jsonl is no example; 1 more cannot be used either.",
        "param": "training_file",
    }
    assert says(job)[-1] == failed.error.message
    assert list(settings().runs_dir.iterdir()) == []


def test_what_else_training_says_is_the_error_without_the_servers_folders(runs: TuningRuns, jobs: FakeRayJobs) -> None:
    job = ordered()
    look(runs, job, times=2)
    jobs.states[f"{job.id}-1"] = "failed"
    jobs.said = f"'{uploaded_files.file(job.training_file).path}' has nothing to learn."
    failed = look(runs, job)
    assert failed.error is not None
    assert (failed.error.code, failed.error.message) == ("training_failed", "'rows.jsonl' has nothing to learn.")


def test_a_cancelled_job_is_stopped_and_leaves_no_checkpoint(runs: TuningRuns, jobs: FakeRayJobs) -> None:
    waiting, running = ordered(created_at=2), ordered()
    look(runs, running, times=2)
    assert list(jobs.modules) == [f"{running.id}-1"]
    jobs.states[f"{running.id}-1"] = "running"
    folder = trained(running, steps=1)
    TUNING_JOBS.ask_to_end(waiting.id)
    TUNING_JOBS.ask_to_end(running.id)
    look(runs, running, times=2)
    assert jobs.stopped == [f"{running.id}-1"]
    for job in (waiting, running):
        assert TUNING_JOBS.find(job.id).status == "cancelled"
        assert says(job)[-1] == "The job was cancelled."
    assert not folder.exists()


def test_a_job_that_the_cluster_has_lost_is_submitted_again(runs: TuningRuns, jobs: FakeRayJobs) -> None:
    job = ordered()
    look(runs, job, times=2)
    jobs.states.clear()
    again = TuningRuns(FineTuningArguments(enabled=True), jobs)
    assert look(again, job).submission_id is None
    assert look(again, job).submission_id == f"{job.id}-2"
