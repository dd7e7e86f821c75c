"""General text goes with every step in its share, always in the same order, and holds a model near its base."""

import pickle
from importlib.resources import files
from pathlib import Path

import pyarrow as pa
import pytest
import torch
from tiny_run import planned, run, tiny_recipe

from plait.jobs.train.batches import Batch, collate
from plait.jobs.train.objectives.pretrain import PretrainConfig
from plait.jobs.train.packed_rows import Encoding, encode_and_pack, read_part
from plait.jobs.train.python_topics import PythonTopics
from plait.jobs.train.rehearsal import WINDOW_TOKENS, Rehearsal
from plait.jobs.train.shards import RowRef, Shards
from plait.jobs.train.trainable import Trainable
from plait.jobs.train.worker_plan import WorkerPlan
from plait.models.chat import chat_format_for
from plait.models.tokenizer import load_tokenizer

TEXTS = [{"text": f"Chapter {i}: " + "the river rose and the miller moved his sacks. " * (1 + i % 3)} for i in range(9)]
RUN = ("data.rehearsal_share=0.4", "train.max_steps=4", "train.checkpoint_every_steps=1")


def planned_beside(folder: Path, base: Path, *overrides: str) -> WorkerPlan:
    return planned(folder, base, *RUN, *overrides, general_text=TEXTS)


def rehearsal_of(plan: WorkerPlan) -> Rehearsal:
    assert plan.rehearsal_rows is not None
    return Rehearsal(plan.recipe, Shards(plan.rehearsal_rows), Shards(plan.train_rows).manifest, steps_per_epoch=3)


def batch_of(plan: WorkerPlan) -> Batch:
    shards = rehearsal_of(plan).shards
    return collate(shards.read([RowRef(0, 0), RowRef(0, 1)]), pad_id=0)


@pytest.mark.parametrize("share", [0.05, 0.4, 0.8])
def test_the_share_holds_within_a_row_at_every_step(tiny_model: Path, tmp_path: Path, share: float) -> None:
    plan = planned_beside(tmp_path, tiny_model, f"data.rehearsal_share={share}")
    rehearsal = rehearsal_of(plan)
    found, examples = rehearsal.shards.manifest, Shards(plan.train_rows).manifest
    rows = 0
    for step in range(30):
        rows += len(rehearsal.refs(step))
        general = rows * found.tokens / found.rows
        wanted = share / (1 - share) * (step + 1) * examples.tokens / 3
        assert abs(general - wanted) <= 0.5 * found.tokens / found.rows + 1e-6


def test_every_text_comes_once_before_any_comes_again_and_a_resumed_run_goes_on_with_the_next(
    tiny_model: Path, tmp_path: Path
) -> None:
    plan = planned_beside(tmp_path, tiny_model)
    rehearsal = rehearsal_of(plan)
    seen = [ref for step in range(40) for ref in rehearsal.refs(step)]
    rows = rehearsal.shards.manifest.rows
    assert set(seen[:rows]) == {RowRef(0, row) for row in range(rows)}
    assert seen[:rows] != seen[rows : 2 * rows]
    resumed = rehearsal_of(plan)
    later = [ref for step in range(20, 40) for ref in resumed.refs(step)]
    assert later == seen[-len(later) :]


def test_a_fresh_adapter_is_its_base_and_the_divergence_pulls_a_moved_one_back(
    tiny_model: Path, tmp_path: Path
) -> None:
    plan = planned_beside(tmp_path, tiny_model, "train.rehearsal_weight=0", "train.kl_weight=2")
    rehearsal, batch = rehearsal_of(plan), batch_of(plan)
    torch.manual_seed(0)
    model = Trainable.new(tiny_model, plan.recipe)
    assert rehearsal.losses(model, batch).figures["kl_to_base"] == 0

    with torch.no_grad():
        for parameter in model.trained_parameters():
            parameter += 0.1 * torch.randn_like(parameter)
    moved = rehearsal.losses(model, batch)
    moved.total.backward()
    assert float(moved.total.detach()) == pytest.approx(2 * moved.figures["kl_to_base"], rel=1e-6)
    trained = {id(parameter) for parameter in model.trained_parameters()}
    assert all(p.grad is not None for p in model.trained_parameters())
    assert all(p.grad is None for p in model.parameters() if id(p) not in trained)

    with torch.no_grad():
        for parameter in model.trained_parameters():
            parameter -= 1e-4 * parameter.grad  # type: ignore[operator]
    assert 0 < rehearsal.losses(model, batch).figures["kl_to_base"] < moved.figures["kl_to_base"]


def test_both_losses_together_are_the_next_tokens_and_the_divergence_of_whole_logits(
    tiny_model: Path, tmp_path: Path
) -> None:
    plan = planned_beside(tmp_path, tiny_model, "train.kl_weight=1")
    rehearsal, batch = rehearsal_of(plan), batch_of(plan)
    model = Trainable.new(tiny_model, plan.recipe).eval()
    with torch.no_grad():
        for parameter in model.trained_parameters():
            parameter += 0.1 * torch.randn_like(parameter)
    figures = rehearsal.losses(model, batch).figures
    assert figures["rehearsal_loss"] == pytest.approx(float(model(batch)), rel=1e-5)
    labels = batch.labels[:, 1:]
    with torch.no_grad():
        own = _log_probs(model, batch)
        with model.adapter_off():
            base = _log_probs(model, batch)
    kl = (base.exp() * (base - own)).sum(-1)[labels != -100].sum()
    assert figures["kl_to_base"] == pytest.approx(float(kl), rel=1e-4)


def _log_probs(model: Trainable, batch: Batch) -> torch.Tensor:
    logits = model.causal_lm(input_ids=batch.input_ids, position_ids=batch.position_ids, use_cache=False).logits
    found: torch.Tensor = logits[:, :-1].log_softmax(-1)
    return found


def test_a_run_tells_both_losses_counts_all_tokens_and_goes_on_as_if_it_had_not_stopped(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = run(planned_beside(tmp_path / "whole", tiny_model, "train.kl_weight=1"), monkeypatch)
    assert whole[0].figures["kl_to_base"] == 0
    assert whole[-1].figures["kl_to_base"] > 0
    assert whole[-1].figures["rehearsal_loss"] > 0
    alone = run(planned_beside(tmp_path / "alone", tiny_model, "data.rehearsal_share=0"), monkeypatch)
    assert alone[0].figures == {}
    assert alone[0].loss == whole[0].loss
    assert sum(r.tokens for r in alone) / sum(r.tokens for r in whole) == pytest.approx(0.6, abs=0.1)

    plan = planned_beside(tmp_path / "halves", tiny_model, "train.kl_weight=1")
    plan.stop_file.touch()
    run(plan, monkeypatch)
    plan.stop_file.unlink()
    both = run(plan, monkeypatch)
    assert [record.figures for record in both] == [pytest.approx(record.figures, rel=1e-5) for record in whole]


def test_the_built_in_text_is_not_the_one_on_which_forgetting_is_measured() -> None:
    rows = [row.values()["text"] for row in PythonTopics().rows("pydoc_data.topics")]
    assert sum(map(len, rows)) > 300_000
    measured = (files("plait.jobs.train") / "general.txt").read_text(encoding="utf-8")
    trained = " ".join(" ".join(rows).split())
    sentences = [sentence for sentence in " ".join(measured.split()).split(". ") if len(sentence) > 20]
    assert len(sentences) > 40
    assert not [sentence for sentence in sentences if sentence in trained]


def test_the_built_in_text_is_read_by_tasks_and_cut_into_windows(tiny_model: Path) -> None:
    source = pickle.loads(pickle.dumps(PythonTopics()))
    (rows,) = read_part(pa.table({"part": source.parts}), source)
    data = tiny_recipe(tiny_model, f"data.max_tokens={WINDOW_TOKENS}").data
    chat_format = chat_format_for(load_tokenizer(tiny_model), "plain")
    encoding = Encoding(tiny_model, chat_format, PretrainConfig(kind="pretrain"), data, seed=0)
    packed = encode_and_pack(rows.slice(0, 2), encoding)
    assert packed["bad_reason"].null_count == len(packed) > 10
    lengths = [len(row) for row in packed["input_ids"].to_pylist()]
    assert max(lengths) == WINDOW_TOKENS
    assert sum(lengths) > 0.9 * WINDOW_TOKENS * (len(lengths) - 1)
