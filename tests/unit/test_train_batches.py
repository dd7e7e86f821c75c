"""Every example once an epoch, in an order that a resumed run finds again."""

from hypothesis import given
from hypothesis import strategies as st

from plait.jobs.train.batches import BatchOrder, collate, micro_batches
from plait.jobs.train.examples import Example
from plait.jobs.train.loss import IGNORED

lengths = st.lists(st.integers(1, 50), min_size=1, max_size=80)


@given(lengths, st.integers(1, 9), st.integers(0, 5), st.integers(0, 3))
def test_an_epoch_holds_every_example_exactly_once(lengths: list[int], size: int, seed: int, epoch: int) -> None:
    order = BatchOrder(lengths, size, seed)
    steps = range(epoch * order.steps_per_epoch, (epoch + 1) * order.steps_per_epoch)
    seen = [index for step in steps for index in order.batch(step)]
    assert sorted(seen) == list(range(len(lengths)))


@given(lengths, st.integers(1, 9), st.integers(0, 5), st.integers(0, 200))
def test_the_batch_of_a_step_does_not_depend_on_the_steps_before(
    lengths: list[int], size: int, seed: int, step: int
) -> None:
    undisturbed = BatchOrder(lengths, size, seed)
    for earlier in range(step):
        undisturbed.batch(earlier)
    assert BatchOrder(lengths, size, seed).batch(step) == undisturbed.batch(step)


def test_epochs_differ_in_their_order() -> None:
    order = BatchOrder([7] * 40, 4, seed=0)
    first, second = ([order.batch(e * 10 + i) for i in range(10)] for e in range(2))
    assert first != second


def test_padding_carries_neither_attention_nor_loss() -> None:
    batch = collate([Example([5, 6, 7], [IGNORED, 6, 7]), Example([8], [8])], pad_id=0)
    assert batch.input_ids.tolist() == [[5, 6, 7], [8, 0, 0]]
    assert batch.attention_mask.tolist() == [[1, 1, 1], [1, 0, 0]]
    assert batch.labels.tolist() == [[IGNORED, 6, 7], [8, IGNORED, IGNORED]]
    assert batch.token_count == 4


@given(lengths, st.integers(16, 200))
def test_parts_of_a_batch_hold_every_example_once_and_fit(lengths: list[int], max_tokens: int) -> None:
    parts = micro_batches(range(len(lengths)), lengths, max_tokens)
    assert sorted(index for part in parts for index in part) == list(range(len(lengths)))
    for part in parts:
        assert len(part) == 1 or len(part) * max(lengths[i] for i in part) <= max_tokens
