"""Plans add up: parameters to what is published, memory to what papers report, activations to what autograd keeps."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from transformers import Gemma3ForCausalLM, Gemma3TextConfig, LlamaConfig, LlamaForCausalLM
from typer.testing import CliRunner

from plait.cli import app
from plait.errors import InvalidInput, ModelNotFound, NotFound
from plait.jobs.plan.activations import Pass, kept_bytes_a_token
from plait.jobs.plan.architecture import architecture_of, known_models, published_parameters, trained_parameters
from plait.jobs.plan.estimate import estimate
from plait.jobs.plan.gpus import changes_of, find_gpu, fit_of, on_gpus, with_fields
from plait.jobs.plan.memory import Memory, memory_of
from plait.jobs.plan.speed import flops_a_token
from plait.jobs.train.batches import collate
from plait.jobs.train.encode import Example
from plait.jobs.train.packing import pack
from plait.jobs.train.trainable import Trainable
from plait.recipes import TrainRecipe, load_recipe

LLAMA = {n: f"huggyllama/llama-{n}b" for n in (7, 13, 65)} | {70: "meta-llama/Llama-2-70b-hf"}
STATES = ("weights", "gradients", "optimiser")
ZERO = ["adapter.method=full", "strategy.kind=deepspeed"]


def recipe(model: str, *overrides: str) -> TrainRecipe:
    return load_recipe(TrainRecipe, None, ["name=x", "data.train=/nowhere", f"model={model}", *overrides])


def memory(checked: TrainRecipe) -> Memory:
    shape = architecture_of(checked.model.source)
    return memory_of(checked, shape, trained_parameters(checked.model.source, checked.adapter))


@pytest.mark.parametrize("model", sorted(known_models()))
def test_parameters_are_those_that_the_hub_publishes(model: str) -> None:
    assert architecture_of(model).parameters == published_parameters()[model]


@pytest.mark.parametrize(
    "overrides",
    [["adapter.rank=4"], ["adapter.method=ia3"], ["adapter.method=bottleneck"], ["adapter.method=prefix"], ZERO],
    ids=["lora", "ia3", "bottleneck", "prefix", "full"],
)
def test_trained_parameters_are_those_that_training_trains(overrides: list[str], tiny_model: Path) -> None:
    checked = recipe(str(tiny_model), *overrides, "data.packing=false", "data.max_tokens=128")
    model = Trainable.new(tiny_model, checked)
    assert trained_parameters(str(tiny_model), checked.adapter) == sum(p.numel() for p in model.trained_parameters())


# ---------------------------------------------------------------- against papers


@pytest.mark.parametrize("billions", [7, 13, 65])
@pytest.mark.parametrize(("stage", "workers"), [(1, 8), (2, 8), (3, 8), (3, 64)])
def test_states_of_full_fine_tuning_are_zeros_formula(billions: int, stage: int, workers: int) -> None:
    """Rajbhandari et al. 2019, section 5: 2 + 2 + 12 bytes a parameter, divided from the last by stage."""
    checked = recipe(LLAMA[billions], *ZERO, f"strategy.zero_stage={stage}", f"scale.workers={workers}")
    checked = with_fields(checked, {"scale.gpus_per_worker": 1})
    n = architecture_of(LLAMA[billions]).parameters
    divided = {1: n * (2 + 2 + 12 / workers), 2: n * (2 + 14 / workers), 3: n * 16 / workers}[stage]
    assert memory(checked).of(*STATES) == pytest.approx(divided)


def test_a_65b_model_trains_with_qlora_under_48_gb() -> None:
    """Dettmers et al. 2023, abstract; with rank 64 on all layers, their rows of 512 tokens, one at a time."""
    checked = recipe(
        LLAMA[65],
        "model.quantization=nf4",
        "adapter.rank=64",
        "train.gradient_checkpointing=true",
        "train.optimizer=paged_adamw_8bit",
        "train.micro_batch_tokens=512",
        "scale.gpus_per_worker=1",
    )
    assert 38e9 < memory(checked).peak_bytes < 48e9


@pytest.mark.parametrize(
    ("billions", "overrides", "published_gb"),
    [
        # LLaMA-Factory's README, "Hardware requirement": full with AMP, LoRA in 16 bits, QLoRA in 4.
        (7, [*ZERO, "strategy.zero_stage=3"], 120),
        (13, [*ZERO, "strategy.zero_stage=3"], 240),
        (7, [], 16),
        (13, [], 32),
        (7, ["model.quantization=nf4"], 6),
        (13, ["model.quantization=nf4"], 12),
        (70, [*ZERO, "strategy.zero_stage=3"], 1200),
        (70, [], 160),
        (70, ["model.quantization=nf4"], 48),
    ],
)
def test_totals_are_near_published_ones(billions: int, overrides: list[str], published_gb: float) -> None:
    checked = recipe(
        LLAMA[billions],
        "train.gradient_checkpointing=true",
        "train.micro_batch_tokens=512",
        "scale.gpus_per_worker=1",
        *overrides,
    )
    assert memory(checked).peak_bytes / 1e9 == pytest.approx(published_gb, rel=0.3)


# ---------------------------------------------------------------- against autograd


class _Kept:
    """Bytes that autograd keeps while a forward pass runs, each storage once; weights do not count."""

    def __init__(self, model: torch.nn.Module) -> None:
        self._weights = {p.untyped_storage().data_ptr() for p in model.parameters()}
        self._storages: dict[int, torch.UntypedStorage] = {}

    def __call__(self, tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in self._weights:
            self._storages[storage.data_ptr()] = storage
        return tensor

    @property
    def bytes(self) -> int:
        return sum(storage.nbytes() for storage in self._storages.values())


_WIDTHS: dict[str, Any] = {
    "vocab_size": 300,
    "hidden_size": 128,
    "intermediate_size": 384,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 32,
}
_FAMILIES = {
    "gemma3": lambda: Gemma3ForCausalLM(Gemma3TextConfig(**_WIDTHS)),
    "llama": lambda: LlamaForCausalLM(LlamaConfig(**_WIDTHS)),
}


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("family", _FAMILIES)
@pytest.mark.parametrize(
    "overrides",
    [
        ["adapter.rank=4"],
        ["adapter.method=ia3"],
        ["adapter.method=bottleneck", "adapter.size=16"],
        ["adapter.method=full", "strategy.kind=deepspeed"],
        ["adapter.rank=4", "train.gradient_checkpointing=true"],
        ["adapter.rank=4", "adapter.dora=true"],
        ["adapter.rank=4", "adapter.dropout=0.1"],
    ],
    ids=["lora", "ia3", "bottleneck", "full", "checkpointing", "dora", "dropout"],
)
def test_activations_are_what_autograd_keeps(
    family: str, overrides: list[str], dtype: str, tiny_model: Path, tmp_path: Path
) -> None:
    for file in tiny_model.iterdir():  # for the tokenizer
        (tmp_path / file.name).write_bytes(file.read_bytes())
    _FAMILIES[family]().save_pretrained(tmp_path)
    tokens = 128
    checked = recipe(str(tmp_path), f"model.dtype={dtype}", f"data.max_tokens={tokens}", *overrides)
    model = Trainable.new(tmp_path, checked).train()
    ids = torch.randint(3, 300, (4, tokens)).tolist()
    batch = collate(pack([[Example(row, list(row))] for row in ids], tokens), pad_id=0)
    kept = _Kept(model)
    with torch.autograd.graph.saved_tensors_hooks(kept, lambda tensor: tensor):
        hidden = model._body(batch).last_hidden_state
    assert hidden.requires_grad

    element = 4 if dtype == "float32" else 2
    planned = kept_bytes_a_token(
        architecture_of(str(tmp_path)),
        checked.adapter,
        Pass(element, tokens, keeps_attention_weights=True),
        checked.train.gradient_checkpointing,
    )
    if checked.train.gradient_checkpointing:
        # The layer that is computed again is kept later, in the backward pass.
        planned -= kept_bytes_a_token(
            architecture_of(str(tmp_path)), checked.adapter, Pass(element, tokens, keeps_attention_weights=True), False
        ) / len(model.causal_lm.base_model.layers)
    assert kept.bytes / (4 * tokens) == pytest.approx(planned, rel=0.15)


# ---------------------------------------------------------------- what users see


@hypothesis_settings(deadline=None, max_examples=40)
@given(
    stage=st.sampled_from([1, 2, 3]),
    workers=st.sampled_from([1, 2, 4, 16, 64]),
    rows=st.sampled_from([512, 2048]),
    checkpointing=st.booleans(),
)
def test_more_workers_higher_stages_and_checkpointing_never_need_more(
    stage: int, workers: int, rows: int, checkpointing: bool
) -> None:
    checked = recipe(
        LLAMA[7],
        *ZERO,
        f"strategy.zero_stage={stage}",
        f"scale.workers={workers}",
        f"data.max_tokens={rows}",
        f"train.gradient_checkpointing={checkpointing}",
        "train.batch_size=256",
        "scale.gpus_per_worker=1",
    )
    states = memory(checked).of(*STATES)
    assert memory(with_fields(checked, {"scale.workers": 2 * workers})).of(*STATES) <= states
    assert memory(with_fields(checked, {"train.gradient_checkpointing": True})).peak_bytes <= memory(checked).peak_bytes
    if stage < 3:
        higher = with_fields(checked, {"strategy.zero_stage": stage + 1})
        assert memory(higher).of(*STATES) <= states


def test_what_does_not_fit_comes_with_changes_that_do() -> None:
    checked = on_gpus(recipe("meta-llama/Llama-2-70b-hf", *ZERO, "strategy.zero_stage=3", "scale.workers=8"))
    shape = architecture_of(checked.model.source)
    fit = fit_of(checked, shape, find_gpu("h100 sxm"))
    assert not fit.is_enough
    assert fit.workers_needed is not None
    enough = with_fields(checked, {"scale.workers": fit.workers_needed})
    assert fit_of(enough, shape, fit.gpu).is_enough
    changes = changes_of(checked, shape)
    assert changes[-1].overrides == ("model.quantization=nf4",)
    assert changes[-1].needed_bytes < fit.gpu.memory_bytes
    needs = [change.needed_bytes for change in changes[:-2]]
    assert needs == sorted(needs, reverse=True)


def test_hours_and_cost_follow_from_the_data(tiny_model: Path, tmp_path: Path) -> None:
    data = tmp_path / "train.jsonl"
    data.write_text('{"question": "Who is it?", "answer": "It is nobody."}\n' * 100)
    checked = with_fields(recipe(str(tiny_model)), {"data.train": str(data), "data.max_tokens": 128})
    made = estimate(checked, "L4", gpu_hour_price=2.0)
    (speed,) = made.speeds
    assert speed.data is not None
    assert speed.hours == pytest.approx(speed.data.count / speed.tokens_per_second / 3600)
    assert speed.cost == pytest.approx(2.0 * speed.hours)
    thrice = estimate(with_fields(checked, {"train.epochs": 3}), "L4", gpu_hour_price=2.0)
    assert thrice.speeds[0].cost == pytest.approx(3 * speed.cost)


def test_general_text_costs_its_tokens_and_their_labels_and_its_base_another_pass() -> None:
    shape = architecture_of(LLAMA[7])
    body, head = shape.body_parameters, shape.head_parameters
    assert flops_a_token(recipe(LLAMA[7]), shape, label_share=0.5) == 4 * body + 2 * head
    rehearsed = recipe(LLAMA[7], "data.rehearsal_share=0.2")
    assert flops_a_token(rehearsed, shape, label_share=0.5) == pytest.approx(4 * body + 2.4 * head)
    compared = with_fields(rehearsed, {"train.kl_weight": 1.0})
    assert flops_a_token(compared, shape, label_share=0.5) == pytest.approx(4.4 * body + 2.8 * head)


def test_the_command_prints_tables_or_json() -> None:
    command = ["plan", "full-zero3", "model=meta-llama/Llama-2-70b-hf"]
    shown = CliRunner().invoke(app, [*command, "scale.workers=2"])
    assert shown.exit_code == 0, shown.output
    assert "H100 SXM" in shown.output
    assert "strategy.offload_optimizer=true" in shown.output
    printed = json.loads(CliRunner().invoke(app, [*command, "--gpu", "h100sxm", "--json"]).stdout)
    assert printed["parameters"] == 68_976_648_192
    assert [fit["gpu"]["name"] for fit in printed["fits"]] == ["H100 SXM"]


def test_what_cannot_be_planned_is_named() -> None:
    with pytest.raises(ModelNotFound, match="Did you mean 'meta-llama/Llama-2-70b-hf'"):
        estimate(recipe("meta-llama/Llama-2-70b"))
    with pytest.raises(NotFound, match=r"There is no GPU 'H1000'.*Did you mean"):
        estimate(recipe(LLAMA[7]), "H1000")
    with pytest.raises(InvalidInput, match="price"):
        estimate(recipe(LLAMA[7]), "L4", gpu_hour_price=-1)
