"""The chunked divergence from the base is that of whole logits, and so is its gradient."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn.functional import cross_entropy, kl_div, log_softmax

from plait.jobs.train.kl import Weights, linear_losses_beside_base
from plait.jobs.train.loss import IGNORED


def problem(positions: int, width: int, vocabulary: int, ignored_share: float, seed: int) -> tuple[Tensor, ...]:
    generator = torch.Generator().manual_seed(seed)
    hidden, base_hidden = torch.randn(2, positions, width, dtype=torch.float64, generator=generator)
    weight = torch.randn(vocabulary, width, dtype=torch.float64, generator=generator)
    labels = torch.randint(vocabulary, (positions,), generator=generator)
    labels[torch.rand(positions, generator=generator) < ignored_share] = IGNORED
    return hidden.requires_grad_(), base_hidden, weight, labels


@settings(deadline=None, max_examples=60)
@given(
    positions=st.integers(1, 40),
    width=st.integers(1, 9),
    vocabulary=st.integers(2, 30),
    chunk=st.integers(1, 40),
    ignored_share=st.floats(0, 1),
    next_token=st.floats(0, 3),
    kl=st.floats(0, 3),
    seed=st.integers(0, 2**31),
)
def test_losses_and_gradient_equal_those_of_whole_logits(
    positions: int,
    width: int,
    vocabulary: int,
    chunk: int,
    ignored_share: float,
    next_token: float,
    kl: float,
    seed: int,
) -> None:
    hidden, base_hidden, weight, labels = problem(positions, width, vocabulary, ignored_share, seed)

    counted = labels != IGNORED
    expected_next = cross_entropy(hidden @ weight.T, labels, ignore_index=IGNORED, reduction="sum")
    own, base = (log_softmax(h[counted] @ weight.T, -1) for h in (hidden, base_hidden))
    expected_kl = kl_div(own, base, log_target=True, reduction="sum")
    expected = next_token * expected_next + kl * expected_kl
    (expected_grad,) = torch.autograd.grad(3 * expected, hidden)
    found = linear_losses_beside_base(hidden, base_hidden, weight, labels, Weights(next_token, kl), chunk)
    (grad,) = torch.autograd.grad(3 * found.total, hidden)

    torch.testing.assert_close(found.next_token, expected_next)
    torch.testing.assert_close(found.kl, expected_kl)
    torch.testing.assert_close(found.total, expected)
    torch.testing.assert_close(grad, expected_grad)


def test_a_model_like_its_base_has_no_divergence_and_no_gradient_in_bfloat16() -> None:
    hidden, _, weight, labels = (part.detach() for part in problem(40, 8, 30, 0.2, seed=1))
    hidden = hidden.bfloat16().requires_grad_()
    found = linear_losses_beside_base(hidden, hidden.detach(), weight.bfloat16(), labels, Weights(0.0, 1.0))
    (grad,) = torch.autograd.grad(found.total, hidden)
    assert found.kl == 0
    assert not grad.any()


def test_a_trained_head_is_refused() -> None:
    hidden, base_hidden, weight, labels = problem(3, 2, 5, 0.0, seed=0)
    with pytest.raises(ValueError, match="freeze it"):
        linear_losses_beside_base(hidden, base_hidden, weight.requires_grad_(), labels, Weights(1.0, 1.0))
