"""What has a checkpoint's name is whole; the last and the best are kept; a run goes on from what it holds."""

from pathlib import Path

import pytest
import torch

from plait.adapters.progress import StepRecord
from plait.errors import PlaitError
from plait.jobs.train.checkpoint import Checkpoints, RunState
from plait.jobs.train.held_out import Sample
from plait.jobs.train.peers import Peers

ALONE = Peers(0, 1, torch.device("cpu"))


class Weights:
    """A strategy that holds one number."""

    steps_together = False
    module = None

    def __init__(self, value: str = "") -> None:
        self.value = value

    def backward(self, loss: torch.Tensor) -> None:
        raise AssertionError("a checkpoint trains nothing")

    def step(self, lr: float) -> float:
        raise AssertionError("a checkpoint trains nothing")

    def save(self, folder: Path) -> None:
        if self.value == "broken":
            raise OSError("cannot be written")
        (folder / "adapter_model.safetensors").write_text(self.value)

    def restore(self, folder: Path) -> None:
        self.value = (folder / "adapter_model.safetensors").read_text()


def record(step: int, eval_loss: float | None = None) -> StepRecord:
    figures = {"loss": 1.0, "lr": 0.1, "grad_norm": 1.0, "tokens_per_second": 1.0, "flops_share": 0.1}
    return StepRecord(step=step, total_steps=9, tokens=1, time_ms=0, memory_bytes=1, eval_loss=eval_loss, **figures)


def save(checkpoints: Checkpoints, step: int, eval_loss: float | None = None, value: str = "w") -> None:
    samples = [Sample(prompt=[1], expected=[2], answer=[step])]
    checkpoints.save(Weights(value), RunState(step=step), record(step, eval_loss), samples, ALONE)


def names(folder: Path) -> list[str]:
    return sorted(each.name for each in folder.iterdir())


def test_a_checkpoint_gives_back_what_was_saved(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path)
    assert checkpoints.latest() is None
    save(checkpoints, 3, 0.5, "three")
    expected = torch.rand(3)
    torch.manual_seed(99)

    (found,) = checkpoints.all()
    weights = Weights()
    torch.set_rng_state(torch.load(found.folder / "rng-0.pt", weights_only=True))
    assert found.restore(weights, ALONE) == RunState(step=3)

    assert weights.value == "three"
    assert torch.equal(torch.rand(3), expected)
    assert found.record == record(3, 0.5)
    assert found.samples[0]["answer"] == [3]
    assert [file.name for file in found.model_files] == ["adapter_model.safetensors"]


def test_a_worker_that_was_not_there_before_keeps_its_own_random_state(tmp_path: Path) -> None:
    save(Checkpoints(tmp_path), 1)
    (found,) = Checkpoints(tmp_path).all()
    torch.manual_seed(5)
    expected = torch.get_rng_state()
    found.restore(Weights(), Peers(1, 1, torch.device("cpu")))
    assert torch.equal(torch.get_rng_state(), expected)


def test_the_last_and_the_best_are_kept(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path)
    for step, loss in ((1, 0.9), (2, 0.4), (3, 0.4), (4, 0.8)):
        save(checkpoints, step, loss)
    assert names(tmp_path) == ["step-00000002", "step-00000004"]
    best, latest = checkpoints.best(), checkpoints.latest()
    assert best is not None
    assert latest is not None
    assert (best.record.step, latest.record.step) == (2, 4)


def test_without_evaluation_the_last_is_the_best(tmp_path: Path) -> None:
    for step in (9, 10):
        save(Checkpoints(tmp_path), step)
    best = Checkpoints(tmp_path).best()
    assert best is not None
    assert best.record.step == 10
    assert names(tmp_path) == ["step-00000010"]


def test_one_that_is_not_whole_does_not_count_and_is_made_anew(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path)
    save(checkpoints, 1)
    with pytest.raises(OSError, match="cannot be written"):
        save(checkpoints, 2, value="broken")
    assert [each.record.step for each in checkpoints.all()] == [1]
    save(checkpoints, 2)
    assert names(tmp_path) == ["step-00000002"]


def test_a_full_disk_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from shutil import _ntuple_diskusage

    monkeypatch.setattr("shutil.disk_usage", lambda _: _ntuple_diskusage(100, 100, 0))
    with pytest.raises(PlaitError, match="is full"):
        save(Checkpoints(tmp_path), 1, value="broken")


@pytest.mark.parametrize(
    ("losses", "patience", "is_stale"),
    [([1.0, 0.9, 0.95], 2, False), ([0.9, 0.95, 0.9], 2, True), ([0.9, 0.95], 2, False), ([0.1, 1, 1], None, False)],
)
def test_a_run_is_stale_after_as_many_evaluations_without_a_better_one(
    losses: list[float], patience: int | None, is_stale: bool
) -> None:
    assert RunState(step=1, eval_losses=losses).is_stale(patience) is is_stale
