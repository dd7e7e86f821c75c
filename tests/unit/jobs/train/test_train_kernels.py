"""Written-out passes give what transformers and PEFT give, forwards and backwards, family by family."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch import Tensor, nn
from transformers import (
    Gemma3ForCausalLM,
    Gemma3TextConfig,
    LlamaConfig,
    LlamaForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from plait.jobs.train.kernels.attention import use_short_row_attention
from plait.jobs.train.kernels.lora import fuse_lora
from plait.jobs.train.kernels.mlp import fuse_gated_mlps
from plait.jobs.train.kernels.norm import fuse_norms

_SIZES = {
    "vocab_size": 50,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
}
_FAMILIES: dict[str, Callable[[], Any]] = {
    # A window shorter than a row, so that both kinds of mask are tried.
    "gemma3": lambda: Gemma3ForCausalLM(
        Gemma3TextConfig(**_SIZES, sliding_window=4, layer_types=["sliding_attention", "full_attention"])
    ),
    "llama": lambda: LlamaForCausalLM(LlamaConfig(**_SIZES)),
    "qwen3": lambda: Qwen3ForCausalLM(Qwen3Config(**_SIZES)),
}


@pytest.fixture(params=_FAMILIES)
def model(request: pytest.FixtureRequest) -> Any:
    torch.manual_seed(0)
    causal_lm = _FAMILIES[request.param]()
    with torch.no_grad():
        for parameter in causal_lm.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))  # norms whose weight is not what it starts as
    adapted = get_peft_model(causal_lm, LoraConfig(r=3, target_modules="all-linear", init_lora_weights=False))
    return adapted.train()


def _results(model: Any) -> dict[str, Tensor]:
    """Hidden states and gradients of two packed rows."""
    ids = torch.arange(24).reshape(2, 12) % 50
    positions = torch.tensor([[0, 1, 2, 3, 4, 5, 6, 0, 1, 2, 3, 4], [0, 1, 2, 0, 1, 2, 3, 4, 5, 6, 7, 8]])
    model.zero_grad()
    hidden = model.get_base_model().base_model(input_ids=ids, position_ids=positions, use_cache=False).last_hidden_state
    (hidden * torch.linspace(-1, 1, hidden.numel()).view_as(hidden)).sum().backward()
    return {"hidden": hidden.detach()} | {n: p.grad.clone() for n, p in model.named_parameters() if p.requires_grad}


@pytest.mark.parametrize("fuse", [fuse_lora, fuse_norms, use_short_row_attention])
def test_a_fused_model_computes_what_the_plain_one_does(model: Any, fuse: Callable[[Any], int | None]) -> None:
    expected = _results(model)
    assert fuse(model.get_base_model()) != 0
    found = _results(model)
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        error = float((found[name] - value).norm() / value.norm())
        assert error < 1e-4, f"{name} differs by {error:.1e}"


def test_with_the_adapter_off_a_fused_model_is_its_base(model: Any) -> None:
    ids = torch.arange(10)[None]
    with model.disable_adapter():
        expected = model(ids).logits
    fuse_lora(model)
    with model.disable_adapter():
        torch.testing.assert_close(model(ids).logits, expected)
    assert not torch.allclose(model(ids).logits, expected)


def test_generation_goes_the_same_way_with_short_row_attention(model: Any) -> None:
    ids = torch.arange(5)[None]
    expected = model.generate(input_ids=ids, max_new_tokens=12, do_sample=False)
    use_short_row_attention(model.get_base_model())
    assert model.generate(input_ids=ids, max_new_tokens=12, do_sample=False).tolist() == expected.tolist()


@pytest.mark.parametrize("options", [{"lora_dropout": 0.5}, {"use_dora": True}, {"lora_bias": True}])
def test_layers_that_do_more_than_plain_lora_are_left_alone(options: dict[str, Any]) -> None:
    adapted = get_peft_model(_FAMILIES["llama"](), LoraConfig(r=3, target_modules="all-linear", **options))
    assert fuse_lora(adapted) == 0


def test_a_norm_that_is_trained_is_left_alone() -> None:
    assert fuse_norms(_FAMILIES["llama"]()) == 0


def test_a_four_bit_base_gives_the_update_its_gradient() -> None:
    from bitsandbytes.nn import Linear4bit

    torch.manual_seed(0)
    plain = torch.nn.Sequential(torch.nn.Linear(64, 64, bias=False))
    packed = Linear4bit(64, 64, bias=False, quant_type="nf4", compute_dtype=torch.float32)
    packed.load_state_dict(plain[0].state_dict())
    adapted = get_peft_model(
        torch.nn.Sequential(packed.to("cpu")), LoraConfig(r=4, target_modules=["0"], init_lora_weights=False)
    )
    x = torch.randn(6, 64)

    def grads() -> list[Tensor]:
        adapted.zero_grad()
        adapted(x).square().sum().backward()
        return [p.grad.clone() for p in adapted.parameters() if p.requires_grad]

    expected = grads()
    assert fuse_lora(adapted) == 1
    for found, wanted in zip(grads(), expected, strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("act_fn", [nn.SiLU(), nn.GELU(approximate="tanh")])
@pytest.mark.parametrize("quantized", [False, True])
def test_a_gated_mlp_is_what_its_parts_are(act_fn: nn.Module, quantized: bool) -> None:
    class Mlp(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.gate_proj, self.up_proj = nn.Linear(64, 128, bias=False), nn.Linear(64, 128, bias=False)
            self.down_proj = nn.Linear(128, 64, bias=False)
            self.act_fn = act_fn

        def forward(self, x: Tensor) -> Tensor:
            return self.down_proj(self.act_fn(self.gate_proj(x)) * self.up_proj(x))

    torch.manual_seed(0)
    mlp = Mlp()
    if quantized:
        from bitsandbytes.nn import Linear4bit

        packed = Linear4bit(128, 64, bias=False, quant_type="nf4", compute_dtype=torch.float32)
        packed.load_state_dict(mlp.down_proj.state_dict())
        mlp.down_proj = packed.to("cpu")
    model = get_peft_model(nn.Sequential(mlp), LoraConfig(r=4, target_modules=["down_proj"], init_lora_weights=False))
    x = torch.randn(3, 5, 64, requires_grad=True)
    trained = [p for p in model.parameters() if p.requires_grad]
    expected = model(x)
    expected_grads = torch.autograd.grad(expected.square().sum(), [x, *trained])

    fuse_lora(model)
    assert fuse_gated_mlps(model) == 1
    found = model(x)
    grads = torch.autograd.grad(found.square().sum(), [x, *trained])

    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(grads, expected_grads, rtol=1e-4, atol=1e-4)
    with model.disable_adapter():
        plain = model(x)
    assert not torch.allclose(plain, expected)


def test_an_mlp_without_a_fused_last_layer_or_with_another_activation_is_left_alone() -> None:
    torch.manual_seed(0)
    mlp = nn.ModuleDict({name: nn.Linear(8, 8, bias=False) for name in ("gate_proj", "up_proj", "down_proj")})
    for act_fn, targets in ((nn.ReLU(), ["down_proj"]), (nn.SiLU(), ["up_proj"])):
        holder = nn.Module()
        for name, layer in mlp.items():
            setattr(holder, name, layer)
        holder.act_fn = act_fn
        model = get_peft_model(holder, LoraConfig(r=2, target_modules=targets))
        fuse_lora(model)
        assert fuse_gated_mlps(model) == 0
        model.unload()
