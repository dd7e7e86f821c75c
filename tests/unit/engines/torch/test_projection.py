"""Linear modules that share their input, as one product: against the modules themselves."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from plait.engines.torch.projection import Adaptation, GatheredRows, Projection, Site, TorchLinear

NAMES = ("q_proj", "k_proj", "v_proj")
OUTPUTS = (8, 4, 4)
INPUTS = 6


class Attention(nn.Module):
    """Three linear modules of one input."""

    def __init__(self, bias: bool) -> None:
        super().__init__()
        torch.manual_seed(0)
        for name, outputs in zip(NAMES, OUTPUTS, strict=True):
            setattr(self, name, nn.Linear(INPUTS, outputs, bias=bias))


def stacked(parent: nn.Module) -> Projection:
    return Projection(parent, 3, "self_attn", NAMES, TorchLinear)


@pytest.mark.parametrize("bias", [False, True])
def test_outputs_stand_side_by_side_in_the_order_of_the_modules(bias: bool) -> None:
    parent, hidden = Attention(bias), torch.randn(5, INPUTS)
    with torch.no_grad():
        expected = [getattr(parent, name)(hidden) for name in NAMES]
        weights = torch.cat([getattr(parent, name).weight for name in NAMES])
    projection = stacked(parent)
    out = projection(hidden, None)
    torch.testing.assert_close(out, torch.cat(expected, dim=-1))
    assert projection.site == Site(3, ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"))
    for module, own in zip(projection.site.modules, expected, strict=True):
        first, end, inputs = projection.bounds[module]
        assert inputs == INPUTS
        torch.testing.assert_close(out[:, first:end], own)
    assert projection.has_bias is bias
    assert torch.equal(projection.dense_weight(), weights)


def test_what_is_stacked_is_not_in_memory_twice() -> None:
    parent = Attention(bias=False)
    stacked(parent)
    assert not list(parent.parameters())


def test_modules_that_are_quantised_already_stay_what_they_are() -> None:
    bitsandbytes = pytest.importorskip("bitsandbytes")
    parent: Any = nn.Module()
    torch.manual_seed(0)
    plain = [nn.Linear(64, 64, bias=False) for _ in NAMES]
    for name, module in zip(NAMES, plain, strict=True):
        quantised = bitsandbytes.nn.Linear4bit(64, 64, bias=False, compute_dtype=torch.float32, quant_type="nf4")
        quantised.load_state_dict(module.state_dict())
        setattr(parent, name, quantised.to("cpu"))
    hidden = torch.randn(3, 64)
    projection = stacked(parent)
    assert projection.is_4_bit
    out = projection(hidden, None)
    torch.testing.assert_close(out, hidden @ projection.dense_weight().float().T, atol=1e-4, rtol=1e-4)
    error = projection.dense_weight() - torch.cat([module.weight.detach() for module in plain])
    assert 0 < error.abs().max() < 0.03  # 4 bits of weights up to 1/8


class Shifting:
    """An adapter that doubles what goes in, and adds to what comes out the sum of what came in unchanged."""

    gathered_only = None

    def with_rows(self, rows: GatheredRows) -> Adaptation:
        raise AssertionError

    def before(self, site: Site, hidden: Tensor) -> Tensor:
        return hidden * 2

    def after(self, site: Site, hidden: Tensor, output: Tensor) -> Tensor:
        return output + hidden.sum(-1, keepdim=True)

    def around(self, layer: int, sublayer: str, output: Tensor) -> Tensor:
        raise AssertionError


def test_an_adapter_changes_what_goes_in_and_what_comes_out_and_sees_the_unchanged_input() -> None:
    projection, hidden = stacked(Attention(bias=True)), torch.randn(5, INPUTS)
    expected = projection(hidden * 2, None) + hidden.sum(-1, keepdim=True)
    torch.testing.assert_close(projection(hidden, Shifting()), expected)
