"""The log that a run's first worker writes and its driver follows."""

from pathlib import Path

import pytest

from plait.adapters.progress import ProgressLog, StepRecord


@pytest.fixture
def log(tmp_path: Path) -> ProgressLog:
    return ProgressLog(tmp_path / "progress.jsonl")


def record(step: int, loss: float = 1.0) -> StepRecord:
    return StepRecord(
        step=step,
        total_steps=9,
        loss=loss,
        lr=1e-4,
        grad_norm=1.0,
        tokens=10,
        tokens_per_second=5.0,
        time_ms=0,
        flops_share=0.1,
        memory_bytes=1,
    )


def test_a_run_that_has_not_begun_has_no_records(log: ProgressLog) -> None:
    log.drop_half_a_line()
    assert log.records() == []


def test_of_a_step_done_twice_the_later_record_counts(log: ProgressLog) -> None:
    for each in (record(1), record(2), record(3), record(2, loss=0.5)):
        log.append(each)
    assert [(each.step, each.loss) for each in log.records()] == [(1, 1.0), (2, 0.5), (3, 1.0)]


def test_half_a_line_is_not_read_and_does_not_spoil_the_next(log: ProgressLog, tmp_path: Path) -> None:
    log.append(record(1))
    with (tmp_path / "progress.jsonl").open("a", encoding="utf-8") as file:
        file.write(record(2).model_dump_json()[:20])
    assert [each.step for each in log.records()] == [1]
    log.drop_half_a_line()
    log.append(record(2))
    assert [each.step for each in log.records()] == [1, 2]
