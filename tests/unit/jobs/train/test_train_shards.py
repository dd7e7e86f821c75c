"""Every row once an epoch, in an order that a resumed run finds again, read from few open shards."""

from collections import Counter
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from plait.jobs.train.shards import MANIFEST, SCHEMA, Manifest, RowOrder, RowRef, Shards, shard_name

shard_rows = st.lists(st.integers(1, 30), min_size=1, max_size=6)


@given(shard_rows, st.integers(1, 9), st.integers(0, 5), st.integers(0, 3))
def test_an_epoch_holds_every_row_exactly_once(rows: list[int], size: int, seed: int, epoch: int) -> None:
    order = RowOrder(rows, size, seed)
    steps = range(epoch * order.steps_per_epoch, (epoch + 1) * order.steps_per_epoch)
    batches = [order.batch(step) for step in steps]
    assert Counter(ref for batch in batches for ref in batch) == Counter(
        RowRef(shard, row) for shard, count in enumerate(rows) for row in range(count)
    )
    assert all(len(batch) == size for batch in batches[:-1])
    assert 1 <= len(batches[-1]) <= size


@given(shard_rows, st.integers(1, 9), st.integers(0, 5), st.integers(0, 100))
def test_a_run_that_resumes_at_any_step_sees_what_an_undisturbed_one_sees(
    rows: list[int], size: int, seed: int, step: int
) -> None:
    undisturbed = RowOrder(rows, size, seed)
    for earlier in range(step):
        undisturbed.batch(earlier)
    assert RowOrder(rows, size, seed).batch(step) == undisturbed.batch(step)


@given(shard_rows, st.integers(0, 5))
def test_an_epoch_goes_through_shard_after_shard(rows: list[int], seed: int) -> None:
    order = RowOrder(rows, 4, seed)
    visited = [ref.shard for step in range(order.steps_per_epoch) for ref in order.batch(step)]
    changes = sum(before != after for before, after in pairwise(visited))
    assert changes == len(rows) - 1


def test_epochs_and_seeds_differ_in_their_order() -> None:
    order = RowOrder([20, 20], 40, seed=0)
    assert order.batch(0) != order.batch(1)
    assert order.batch(0) != RowOrder([20, 20], 40, seed=1).batch(0)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Four shards of three rows; row r of shard s holds the tokens 10 s + r, as many as two segments of r + 1."""
    for shard in range(4):
        columns = {
            "input_ids": [[10 * shard + row] * 2 * (row + 1) for row in range(3)],
            "labels": [[7] * 2 * (row + 1) for row in range(3)],
            "lengths": [[row + 1] * 2 for row in range(3)],
        }
        pq.write_table(pa.table(columns, schema=SCHEMA), tmp_path / shard_name(shard))
    manifest = Manifest(shard_rows=[3] * 4, examples=24, tokens=48, labels=48, bad_rows=0, sha256="")
    (tmp_path / MANIFEST).write_text(manifest.model_dump_json())
    return tmp_path


def test_rows_come_back_as_they_were_written_in_the_order_that_was_asked(folder: Path) -> None:
    rows = Shards(folder).read([RowRef(3, 2), RowRef(0, 0), RowRef(3, 1)])
    assert [row.input_ids.tolist() for row in rows] == [[32] * 6, [0] * 2, [31] * 4]
    assert [row.lengths.tolist() for row in rows] == [[3, 3], [1, 1], [2, 2]]
    assert all(array.dtype == np.int32 for row in rows for array in (row.input_ids, row.labels, row.lengths))


def test_all_rows_can_be_read_as_they_lie(folder: Path) -> None:
    chunks = list(Shards(folder).in_order(chunk_rows=5))
    assert [len(chunk) for chunk in chunks] == [5, 5, 2]
    assert [ref for chunk in chunks for ref in chunk] == [RowRef(s, r) for s in range(4) for r in range(3)]


def test_a_shard_is_read_once_while_it_is_one_of_the_last_two(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    read_table = pq.read_table

    def counting(path: Path) -> pa.Table:
        opened.append(path.name)
        return read_table(path)

    monkeypatch.setattr("plait.jobs.train.shards.pq.read_table", counting)
    shards = Shards(folder)
    shards.read([RowRef(0, 0), RowRef(1, 0), RowRef(0, 1), RowRef(1, 1), RowRef(2, 0), RowRef(1, 2), RowRef(0, 2)])
    assert opened == [shard_name(n) for n in (0, 1, 2, 0)]


def test_a_folder_that_is_not_complete_is_refused(folder: Path) -> None:
    (folder / MANIFEST).unlink()
    with pytest.raises(FileNotFoundError):
        Shards(folder)
