"""Bottleneck adapters: nothing until trained, then exactly what was saved."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import (
    Gemma3ForCausalLM,
    Gemma3TextConfig,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from plait.adapters.methods.bottleneck.config import SavedBottleneck
from plait.adapters.methods.bottleneck.model import BottleneckModel
from plait.errors import InvalidInput

_SIZES = {
    "vocab_size": 50,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
}
_FAMILIES: dict[str, Callable[..., Any]] = {
    "gemma3": lambda **sizes: Gemma3ForCausalLM(Gemma3TextConfig(**_SIZES, **sizes)),
    "llama": lambda **sizes: LlamaForCausalLM(LlamaConfig(**_SIZES, **sizes)),
    "qwen3": lambda **sizes: Qwen3ForCausalLM(Qwen3Config(**_SIZES, **sizes)),
}
CONFIG = SavedBottleneck(bottleneck_size=6)
IDS = torch.arange(20).reshape(2, 10)


def base(family: str = "llama", hidden_size: int = 32) -> Any:
    torch.manual_seed(0)
    return _FAMILIES[family](hidden_size=hidden_size).eval()


def trained(model: BottleneckModel, steps: int = 3) -> list[float]:
    optimizer = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], lr=1e-2)
    losses = []
    for _ in range(steps):
        loss = model(IDS, labels=IDS).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    return losses


def logits(model: Any) -> torch.Tensor:
    with torch.no_grad():
        return model(IDS).logits


@pytest.mark.parametrize("family", _FAMILIES)
@pytest.mark.parametrize("placement", ["houlsby", "pfeiffer"])
def test_training_changes_the_adapter_only_and_lowers_the_loss(family: str, placement: Any) -> None:
    causal_lm = base(family)
    expected = logits(causal_lm)
    before = {name: p.clone() for name, p in causal_lm.named_parameters()}
    model = BottleneckModel(causal_lm, SavedBottleneck(bottleneck_size=6, placement=placement))

    assert torch.equal(logits(model), expected)
    losses = trained(model, steps=15)

    assert losses[-1] < losses[0]
    after = {name.replace(".layer.", "."): p for name, p in causal_lm.named_parameters() if ".bottlenecks." not in name}
    assert all(torch.equal(after[name], value) for name, value in before.items())
    assert not torch.equal(logits(model), expected)
    with model.disable_adapter():
        assert torch.equal(logits(model), expected)


def test_what_is_saved_is_what_is_loaded(tmp_path: Path) -> None:
    model = BottleneckModel(base(), CONFIG)
    trained(model)
    model.save_pretrained(tmp_path)

    again = BottleneckModel.from_pretrained(base(), tmp_path)

    assert sorted(p.name for p in tmp_path.iterdir()) == ["adapter_config.json", "adapter_model.safetensors"]
    assert torch.equal(logits(again), logits(model))
    assert not any(p.requires_grad for p in again.parameters())
    assert trained(BottleneckModel.from_pretrained(base(), tmp_path, is_trainable=True))


def test_adapters_on_one_base_switch_and_leave(tmp_path: Path) -> None:
    model = BottleneckModel(base(), CONFIG)
    trained(model)
    model.save_pretrained(tmp_path / "one")
    first = logits(model)
    trained(model)
    model.save_pretrained(tmp_path / "two")
    second = logits(model)

    served = BottleneckModel.from_pretrained(base(), tmp_path / "one", adapter_name="one")
    served.load_adapter(tmp_path / "two", "two")

    assert torch.equal(logits(served), first)
    served.set_adapter("two")
    assert torch.equal(logits(served), second)
    served.delete_adapter("two")
    assert torch.equal(logits(served), logits(base()))


def test_weights_of_another_model_are_refused_and_leave_nothing_behind(tmp_path: Path) -> None:
    BottleneckModel(base(), CONFIG).save_pretrained(tmp_path)
    with pytest.raises(InvalidInput, match=r"has the shape \(6, 32\), this base model needs \(6, 64\)"):
        BottleneckModel.from_pretrained(base(hidden_size=64), tmp_path)
    served = BottleneckModel(base(hidden_size=64), CONFIG)
    with pytest.raises(InvalidInput, match="was made for another model"):
        served.load_adapter(tmp_path, "other")
    assert list(served.configs) == ["default"]


def test_missing_and_unknown_weights_are_named(tmp_path: Path) -> None:
    BottleneckModel(base(), SavedBottleneck(bottleneck_size=6, placement="pfeiffer")).save_pretrained(tmp_path)
    config = tmp_path / "adapter_config.json"
    config.write_text(config.read_text().replace("pfeiffer", "houlsby"))
    with pytest.raises(InvalidInput, match=r"misses weight 'model\.layers\.0\.self_attn\.o_proj"):
        BottleneckModel.from_pretrained(base(), tmp_path)


def test_a_model_without_such_layers_is_refused() -> None:
    gpt2 = GPT2LMHeadModel(GPT2Config(n_layer=1, n_head=2, n_embd=16, vocab_size=50))
    with pytest.raises(InvalidInput, match=r"GPT2LMHeadModel has no layers with self_attn\.o_proj"):
        BottleneckModel(gpt2, CONFIG)


def test_a_bfloat16_base_and_checkpointed_activations_are_fine() -> None:
    causal_lm = base().bfloat16().train()
    causal_lm.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    model = BottleneckModel(causal_lm, CONFIG)
    losses = trained(model, steps=4)
    assert losses[-1] < losses[0]
    assert {p.dtype for p in model.parameters() if p.requires_grad} == {torch.float32}
