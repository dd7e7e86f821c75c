"""What is measured on held-out data: mean losses over tokens, and answers to the first questions."""

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from tiny_run import planned

from plait.jobs.train.batches import Batch, collate
from plait.jobs.train.held_out import HeldOut
from plait.jobs.train.loop import WorkerPlan
from plait.jobs.train.packing import PackedRow
from plait.jobs.train.peers import Peers
from plait.jobs.train.shards import Shards
from plait.jobs.train.trainable import Trainable
from plait.models.tokenizer import load_tokenizer

ALONE = Peers(0, 1, torch.device("cpu"))
PAIRS = [{"prompt": f"{i}?", "chosen": f"good {i}", "rejected": f"bad {i}"} for i in range(4)]


def one_by_one(rows: Sequence[PackedRow]) -> list[Batch]:
    return [collate([row], pad_id=0) for row in rows]


def held_out(plan: WorkerPlan) -> tuple[HeldOut, Trainable]:
    torch.manual_seed(0)
    model = Trainable.new(plan.base_folder, plan.recipe)
    return HeldOut(plan, model, model, one_by_one), model


def test_losses_are_means_over_all_labelled_tokens(tiny_model: Path, tmp_path: Path) -> None:
    plan = planned(tmp_path, tiny_model)
    measured, model = held_out(plan)
    model.train()

    found = measured.losses(ALONE)

    assert not model.training
    for name, folder in (("eval_loss", plan.eval_rows), ("general_loss", plan.general_rows)):
        shards = Shards(folder)  # type: ignore[arg-type]
        batches = one_by_one([row for refs in shards.in_order(99) for row in shards.read(refs)])
        with torch.no_grad():
            total = sum(float(model(batch)) for batch in batches)
        assert found[name] == pytest.approx(total / sum(batch.label_count for batch in batches), rel=1e-5)


def test_workers_share_the_rows_and_add_what_they_find(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured, _ = held_out(planned(tmp_path, tiny_model, "data.packing=false"))
    parts: list[tuple[float, ...]] = []
    monkeypatch.setattr(Peers, "sum", lambda self, *values: parts.append(values) or [1.0, 1.0])
    for rank in range(2):
        measured.losses(Peers(rank, 2, torch.device("cpu")))
    whole = Shards(tmp_path / "eval").manifest
    (_, first), (_, second) = parts[1], parts[3]
    assert first > 0
    assert second > 0
    assert first + second == whole.labels


def test_samples_are_answers_to_the_first_questions(tiny_model: Path, tmp_path: Path) -> None:
    rows = [{"question": f"Number {i}?", "answer": f"Yes {i}."} for i in range(3)]
    measured, model = held_out(planned(tmp_path, tiny_model, "train.samples=2", "data.packing=false", held_out=rows))
    found = measured.samples()
    tokenizer = load_tokenizer(tiny_model)
    expected = {tokenizer.decode(sample["expected"], skip_special_tokens=True).strip() for sample in found}
    assert len(found) == 2
    assert expected < {"Yes 0.", "Yes 1.", "Yes 2."}
    for sample in found:
        asked = tokenizer.decode(sample["prompt"])
        assert "Number" in asked
        assert "Yes" not in asked
    assert found[0]["answer"] == model.generate([found[0]["prompt"]], 48, 0)[0][: len(found[0]["answer"])]


def test_of_a_pair_only_the_chosen_answer_is_expected(tiny_model: Path, tmp_path: Path) -> None:
    overrides = ("objective.kind=dpo", "train.samples=9")
    measured, _ = held_out(planned(tmp_path, tiny_model, *overrides, rows=PAIRS, held_out=PAIRS))
    tokenizer = load_tokenizer(tiny_model)
    said = {tokenizer.decode(s["expected"], skip_special_tokens=True).strip() for s in measured.samples()}
    assert said == {f"good {i}" for i in range(4)}


def test_without_samples_nothing_is_generated(tiny_model: Path, tmp_path: Path) -> None:
    assert held_out(planned(tmp_path, tiny_model, "train.samples=0"))[0].samples() == []
