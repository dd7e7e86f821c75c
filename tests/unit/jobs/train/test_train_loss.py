"""The chunked head gives the losses and the gradients that autograd gives."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from plait.jobs.train.loss import IGNORED, linear_cross_entropy, linear_log_probs, rounded

_SHAPES = {
    "positions": st.integers(1, 17),
    "width": st.integers(1, 9),
    "vocabulary": st.integers(2, 30),
    "chunk": st.integers(1, 20),
    "ignored_share": st.floats(0, 1),
    "seed": st.integers(0, 2**31),
}


def _problem(positions: int, width: int, vocabulary: int, ignored_share: float, seed: int) -> tuple[Tensor, ...]:
    generator = torch.Generator().manual_seed(seed)
    hidden = torch.randn(positions, width, dtype=torch.float64, generator=generator).requires_grad_()
    weight = torch.randn(vocabulary, width, dtype=torch.float64, generator=generator)
    labels = torch.randint(vocabulary, (positions,), generator=generator)
    labels[torch.rand(positions, generator=generator) < ignored_share] = IGNORED
    return hidden, weight, labels


@settings(deadline=None, max_examples=60)
@given(**_SHAPES)
def test_loss_and_gradient_equal_autograds_in_float64(
    positions: int, width: int, vocabulary: int, chunk: int, ignored_share: float, seed: int
) -> None:
    hidden, weight, labels = _problem(positions, width, vocabulary, ignored_share, seed)

    expected = torch.nn.functional.cross_entropy(hidden @ weight.T, labels, ignore_index=IGNORED, reduction="sum")
    (expected_grad,) = torch.autograd.grad(3 * expected, hidden)
    loss = linear_cross_entropy(hidden, weight, labels, chunk_tokens=chunk)
    (grad,) = torch.autograd.grad(3 * loss, hidden)

    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(grad, expected_grad)


@settings(deadline=None, max_examples=60)
@given(**_SHAPES)
def test_a_trained_head_gets_the_gradient_that_autograd_gives_it(
    positions: int, width: int, vocabulary: int, chunk: int, ignored_share: float, seed: int
) -> None:
    hidden, weight, labels = _problem(positions, width, vocabulary, ignored_share, seed)
    weight.requires_grad_()

    expected = torch.nn.functional.cross_entropy(hidden @ weight.T, labels, ignore_index=IGNORED, reduction="sum")
    expected_grads = torch.autograd.grad(3 * expected, (hidden, weight))
    grads = torch.autograd.grad(3 * linear_cross_entropy(hidden, weight, labels, chunk_tokens=chunk), (hidden, weight))

    for grad, expected_grad in zip(grads, expected_grads, strict=True):
        torch.testing.assert_close(grad, expected_grad)


@settings(deadline=None, max_examples=60)
@given(**_SHAPES)
def test_log_probabilities_and_their_gradient_equal_autograds(
    positions: int, width: int, vocabulary: int, chunk: int, ignored_share: float, seed: int
) -> None:
    hidden, weight, labels = _problem(positions, width, vocabulary, ignored_share, seed)
    by_position = torch.arange(1, positions + 1, dtype=torch.float64)

    known = labels.clamp_min(0)
    expected = (hidden @ weight.T).log_softmax(-1).gather(-1, known[:, None])[:, 0] * (labels != IGNORED)
    (expected_grad,) = torch.autograd.grad((expected * by_position).sum(), hidden)
    log_probs = linear_log_probs(hidden, weight, labels, chunk_tokens=chunk)
    (grad,) = torch.autograd.grad((log_probs * by_position).sum(), hidden)

    torch.testing.assert_close(log_probs, expected)
    torch.testing.assert_close(grad, expected_grad)


def test_in_bfloat16_the_loss_is_that_of_float32_within_the_precision_of_the_logits() -> None:
    generator = torch.Generator().manual_seed(0)
    hidden, weight = torch.randn(300, 64, generator=generator), torch.randn(5000, 64, generator=generator) / 8
    labels = torch.randint(5000, (300,), generator=generator)

    exact = torch.nn.functional.cross_entropy(hidden @ weight.T, labels, reduction="sum")
    loss = linear_cross_entropy(hidden.bfloat16().requires_grad_(), weight.bfloat16(), labels)

    assert float(loss) == pytest.approx(float(exact), rel=2e-3)


def test_log_probabilities_under_a_head_that_wants_a_gradient_are_refused() -> None:
    weight = torch.randn(5, 3, requires_grad=True)
    with pytest.raises(ValueError, match="freeze"):
        linear_log_probs(torch.randn(2, 3), weight, torch.tensor([0, 1]))


@given(st.integers(0, 1 << 20))
def test_a_rounded_count_is_at_most_a_sixteenth_larger(count: int) -> None:
    assert count <= rounded(count) <= count * 17 / 16
    assert rounded(rounded(count)) == rounded(count)


def test_counts_are_rounded_to_few_sizes() -> None:
    assert len({rounded(count) for count in range(1025, 2049)}) == 16
