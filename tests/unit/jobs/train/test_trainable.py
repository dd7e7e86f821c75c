"""Losses of packed rows are those of the examples alone, and those that transformers and a reference formula give."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from peft import LoraConfig, get_peft_model
from torch.nn.functional import logsigmoid

from plait.jobs.train.batches import Batch, collate
from plait.jobs.train.encode import Example
from plait.jobs.train.loss import IGNORED
from plait.jobs.train.objectives.dpo import DpoConfig
from plait.jobs.train.objectives.objective import objective_of
from plait.jobs.train.objectives.sft import SftConfig
from plait.jobs.train.packing import pack
from plait.jobs.train.trainable import Trainable
from plait.models.load import load_causal_lm
from plait.recipes import TrainRecipe, load_recipe

VOCABULARY = 280


def trainable(base: Path, *overrides: str) -> Trainable:
    """A model with an adapter whose weights are not those that it begins with."""
    common = ["name=x", "data.train=x", f"model.source={base}", "model.dtype=float32", "data.max_tokens=128"]
    torch.manual_seed(0)
    model = Trainable.new(base, load_recipe(TrainRecipe, None, [*common, *overrides])).eval()
    with torch.no_grad():
        for parameter in model.trained_parameters():
            parameter += 0.05 * torch.randn_like(parameter)
    return model


def example(generator: torch.Generator, length: int, prompt: int) -> Example:
    ids = torch.randint(3, VOCABULARY, (length,), generator=generator).tolist()
    return Example(ids, [IGNORED] * prompt + ids[prompt:])


def examples(seed: int, lengths: Sequence[int]) -> list[Example]:
    generator = torch.Generator().manual_seed(seed)
    return [example(generator, length, prompt=min(2, length - 1)) for length in lengths]


def batch_of(groups: Sequence[Sequence[Example]], is_packed: bool) -> Batch:
    copies = [[Example(list(e.input_ids), list(e.labels)) for e in group] for group in groups]
    return collate(pack(copies, 128, is_packed), pad_id=0)


def loss_and_gradients(model: Trainable, batch: Batch) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    model.zero_grad()
    loss = model(batch)
    loss.backward()
    return loss.detach(), {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize(
    "overrides",
    [[], ["adapter.rank=4", "adapter.dora=true"], ["adapter.method=ia3"], ["adapter.method=bottleneck"]],
    ids=["lora", "dora", "ia3", "bottleneck"],
)
@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 1000), lengths=st.lists(st.integers(2, 40), min_size=2, max_size=9))
def test_packed_rows_teach_what_the_examples_alone_teach(
    overrides: list[str], tiny_model: Path, models: dict[str, Trainable], seed: int, lengths: list[int]
) -> None:
    key = " ".join(overrides)
    model = models.get(key) or models.setdefault(key, trainable(tiny_model, *overrides))
    groups = [[e] for e in examples(seed, lengths)]

    packed, by_packed = loss_and_gradients(model, batch_of(groups, is_packed=True))
    alone = [loss_and_gradients(model, batch_of([group], is_packed=False)) for group in groups]

    torch.testing.assert_close(packed, torch.stack([loss for loss, _ in alone]).sum(), rtol=1e-4, atol=1e-4)
    assert by_packed
    for name, gradient in by_packed.items():
        total = torch.stack([grads[name] for _, grads in alone]).sum(0)
        torch.testing.assert_close(gradient, total, rtol=2e-3, atol=2e-3, msg=lambda m, n=name: f"{n}: {m}")


@pytest.fixture(scope="module")
def models() -> dict[str, Trainable]:
    return {}


def test_the_loss_of_a_lora_is_that_of_transformers_and_peft(tiny_model: Path) -> None:
    ours = trainable(tiny_model, "adapter.rank=4")
    peft = get_peft_model(
        load_causal_lm(tiny_model, "float32"), LoraConfig(r=4, lora_alpha=16, target_modules="all-linear")
    )
    weights = {n.removeprefix("base_model.model."): p for n, p in ours.adapter.named_parameters()}
    with torch.no_grad():
        for name, parameter in peft.named_parameters():
            parameter.copy_(weights[name.removeprefix("base_model.model.")])
    (only,) = examples(1, [30])
    batch = batch_of([[only]], is_packed=False)

    mean = peft(input_ids=batch.input_ids, labels=batch.labels).loss

    torch.testing.assert_close(ours(batch) / batch.label_count, mean, rtol=1e-5, atol=1e-5)


def log_prob(model: Any, one: Example) -> torch.Tensor:
    """Of the labelled tokens, the plain way, a scalar."""
    ids = torch.tensor([one.input_ids])
    log_probs = model(input_ids=ids).logits.log_softmax(-1)[0, :-1]
    labels = torch.tensor(one.labels[1:])
    chosen = log_probs.gather(1, labels.clamp(min=0)[:, None])[:, 0]
    return chosen[labels != IGNORED].sum()


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_the_preference_loss_is_the_papers_formula_and_what_trl_computes(tiny_model: Path, smoothing: float) -> None:
    model = trainable(tiny_model, "adapter.rank=4")
    config = DpoConfig(kind="dpo", beta=0.3, label_smoothing=smoothing)
    pairs = [examples(seed, lengths) for seed, lengths in ((1, (12, 9)), (2, (7, 30)), (3, (20, 20)))]
    batch = batch_of(pairs, is_packed=True)

    found = objective_of(config).losses(model, batch)

    expected, margins = [], []
    for chosen, rejected in pairs:
        policy = log_prob(model.causal_lm, chosen) - log_prob(model.causal_lm, rejected)
        with torch.no_grad(), model.adapter_off():
            reference = log_prob(model.causal_lm, chosen) - log_prob(model.causal_lm, rejected)
        # TRL's DPOTrainer, loss_type="sigmoid": this line, with the same names.
        logits = config.beta * (policy - reference)
        expected.append(-logsigmoid(logits) * (1 - smoothing) - logsigmoid(-logits) * smoothing)
        margins.append(float(logits.detach()))
    assert objective_of(config).terms(batch) == len(pairs)
    torch.testing.assert_close(found.total, torch.stack(expected).sum(), rtol=1e-4, atol=1e-4)
    assert found.figures["reward_margin"] == pytest.approx(sum(margins), abs=1e-3)
    assert found.figures["reward_accuracy"] == sum(margin > 0 for margin in margins)


def test_evaluating_a_4bit_model_leaves_training_as_it_was(tiny_model: Path) -> None:
    model = trainable(tiny_model, "model.quantization=nf4", "model.dtype=bfloat16")
    batch = batch_of([[e] for e in examples(1, (30, 20))], is_packed=True)
    before, gradients = loss_and_gradients(model.train(), batch)
    with torch.no_grad():
        model.eval()(batch)
        with model.adapter_off():
            model(batch)
    after, gradients_after = loss_and_gradients(model.train(), batch)
    torch.testing.assert_close(after, before)
    torch.testing.assert_close(gradients_after, gradients)


def test_an_untrained_adapter_prefers_nothing(tiny_model: Path) -> None:
    recipe = load_recipe(TrainRecipe, None, ["name=x", "data.train=x", f"model.source={tiny_model}"])
    model = Trainable.new(tiny_model, recipe).eval()
    found = objective_of(DpoConfig(kind="dpo")).losses(model, batch_of([examples(1, (12, 9))], is_packed=True))
    assert float(found.total.detach()) == pytest.approx(0.6931, abs=1e-3)


@pytest.mark.parametrize("overrides", [["adapter.method=prefix", "data.packing=false"], ["adapter.method=bottleneck"]])
def test_switched_off_an_adapter_leaves_the_base_model(overrides: list[str], tiny_model: Path) -> None:
    model = trainable(tiny_model, *overrides)
    (only,) = examples(1, [30])
    batch = batch_of([[only]], is_packed=False)
    sft = objective_of(SftConfig())
    with torch.no_grad():
        with_adapter = sft.losses(model, batch).total
        with model.adapter_off():
            without = sft.losses(model, batch).total
    expected = load_causal_lm(tiny_model, "float32")(input_ids=batch.input_ids, labels=batch.labels).loss
    torch.testing.assert_close(without / batch.label_count, expected.detach(), rtol=1e-4, atol=1e-4)
    assert abs(float(with_adapter - without)) > 1e-3
