"""The chunked head gives the loss and the gradient that autograd gives."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from plait.jobs.train.loss import IGNORED, linear_cross_entropy


@settings(deadline=None, max_examples=60)
@given(
    positions=st.integers(1, 17),
    width=st.integers(1, 9),
    vocabulary=st.integers(2, 30),
    chunk=st.integers(1, 20),
    ignored_share=st.floats(0, 1),
    seed=st.integers(0, 2**31),
)
def test_loss_and_gradient_equal_autograds_in_float64(
    positions: int, width: int, vocabulary: int, chunk: int, ignored_share: float, seed: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    hidden = torch.randn(positions, width, dtype=torch.float64, generator=generator).requires_grad_()
    weight = torch.randn(vocabulary, width, dtype=torch.float64, generator=generator)
    labels = torch.randint(vocabulary, (positions,), generator=generator)
    labels[torch.rand(positions, generator=generator) < ignored_share] = IGNORED

    expected = torch.nn.functional.cross_entropy(hidden @ weight.T, labels, ignore_index=IGNORED, reduction="sum")
    (expected_grad,) = torch.autograd.grad(3 * expected, hidden)
    loss = linear_cross_entropy(hidden, weight, labels, chunk_tokens=chunk)
    (grad,) = torch.autograd.grad(3 * loss, hidden)

    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(grad, expected_grad)


def test_a_head_that_wants_a_gradient_is_refused() -> None:
    weight = torch.randn(5, 3, requires_grad=True)
    with pytest.raises(ValueError, match="freeze"):
        linear_cross_entropy(torch.randn(2, 3), weight, torch.tensor([0, 1]))
