"""A worker trains to the end, evaluates on its way, and goes on where an earlier worker stopped."""

from pathlib import Path

import pytest
from tiny_run import planned, run

from plait.errors import PlaitError
from plait.jobs.train.checkpoint import Checkpoints


def test_a_worker_learns_and_keeps_its_last_step(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = planned(tmp_path, tiny_model, "train.max_steps=6", "train.lr=0.02", "train.checkpoint_every_steps=3")
    records = run(plan, monkeypatch)
    assert [record.step for record in records] == [1, 2, 3, 4, 5, 6]
    assert [record.step for record in records if record.eval_loss is not None] == [3, 6]
    assert records[-1].eval_loss < records[2].eval_loss  # type: ignore[operator]
    checkpoint = Checkpoints(plan.checkpoints).latest()
    assert checkpoint is not None
    assert checkpoint.record == records[-1]
    assert checkpoint.samples[0]["expected"]
    assert plan.before_file.is_file()


def test_a_run_that_stopped_goes_on_as_if_it_had_not(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    overrides = ("train.max_steps=4", "train.checkpoint_every_steps=1")
    whole = run(planned(tmp_path / "whole", tiny_model, *overrides), monkeypatch)

    plan = planned(tmp_path / "halves", tiny_model, *overrides)
    plan.stop_file.touch()
    first = run(plan, monkeypatch)
    assert [record.step for record in first] == [1]
    before = plan.before_file.read_bytes()
    plan.stop_file.unlink()
    both = run(plan, monkeypatch)

    assert [record.step for record in both] == [1, 2, 3, 4]
    assert [record.loss for record in both] == pytest.approx([record.loss for record in whole], rel=1e-5)
    assert [record.lr for record in both] == [record.lr for record in whole]
    assert plan.before_file.read_bytes() == before


def test_a_loss_that_is_no_number_ends_the_run_and_names_the_step(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = planned(tmp_path, tiny_model, "train.lr=1e30", "train.max_steps=4", "train.warmup_share=0")
    with pytest.raises(PlaitError, match=r"of step [234] is (nan|inf)\. Lower train\.lr"):
        run(plan, monkeypatch)


def test_a_run_ends_when_evaluations_bring_nothing_more(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    overrides = ("train.lr=1e-12", "train.max_steps=6", "train.checkpoint_every_steps=1")
    plan = planned(tmp_path, tiny_model, *overrides, "train.early_stopping_patience=2")
    assert len(run(plan, monkeypatch)) == 3
