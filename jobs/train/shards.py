"""Packed rows on disk: shards of Parquet, and the order in which workers read them.

The order is a pure function of seed, epoch and step, so a run that resumes at a step goes on with exactly the rows that
an undisturbed run would see. Shards are permuted, and rows inside a shard, so that a worker reads shard after shard.
"""

import random
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import BaseModel

from plait.jobs.train.packing import PackedRow

_KEPT_SHARDS = 2
_COLUMN = pa.list_(pa.int32())
SCHEMA = pa.schema([("input_ids", _COLUMN), ("labels", _COLUMN), ("lengths", _COLUMN)])


class Manifest(BaseModel):
    """What a folder of shards holds."""

    shard_rows: list[int]
    """Rows of every shard."""
    examples: int
    tokens: int
    labels: int
    """Tokens that carry a loss."""
    bad_rows: int
    first_bad: list[str] = []
    """Place and reason of the first ten."""
    unused: list[str] = []
    """Names of fields that no row of the data used."""
    sha256: str
    """Hash of all rows."""

    @property
    def rows(self) -> int:
        """Packed rows of all shards."""
        return sum(self.shard_rows)


class RowRef(NamedTuple):
    shard: int
    row: int


class RowOrder:
    """Which rows make up the batch of a step, in whichever epoch the step falls; every epoch has every row once.

    Args:
        shard_rows: rows of every shard.
        batch_size: rows of a step; the last batch of an epoch may be smaller.
        seed: another seed is another order.
    """

    def __init__(self, shard_rows: Sequence[int], batch_size: int, seed: int) -> None:
        self._shard_rows, self._batch_size, self._seed = shard_rows, batch_size, seed
        self._epoch = -1
        self._order: list[RowRef] = []

    @property
    def steps_per_epoch(self) -> int:
        return -(-sum(self._shard_rows) // self._batch_size)

    def batch(self, step: int) -> list[RowRef]:
        """The rows of optimiser step `step`, counted from 0."""
        epoch, index = divmod(step, self.steps_per_epoch)
        if epoch != self._epoch:
            self._epoch, self._order = epoch, self._shuffled(epoch)
        return self._order[index * self._batch_size : (index + 1) * self._batch_size]

    def _shuffled(self, epoch: int) -> list[RowRef]:
        rng = random.Random(f"{self._seed}:{epoch}")
        shards = rng.sample(range(len(self._shard_rows)), len(self._shard_rows))
        return [
            RowRef(shard, row)
            for shard in shards
            for row in rng.sample(range(self._shard_rows[shard]), self._shard_rows[shard])
        ]


class Shards:
    """An open folder of shards.

    Raises:
        FileNotFoundError: when the folder is not complete.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.manifest = Manifest.model_validate_json((folder / MANIFEST).read_text(encoding="utf-8"))
        self._open: OrderedDict[int, pa.Table] = OrderedDict()

    def read(self, refs: Sequence[RowRef]) -> list[PackedRow]:
        """The rows that are meant, in their order."""
        return [self._row(ref) for ref in refs]

    def in_order(self, chunk_rows: int) -> Iterator[list[RowRef]]:
        """All rows as they lie, so many at a time."""
        refs = [RowRef(shard, row) for shard, rows in enumerate(self.manifest.shard_rows) for row in range(rows)]
        for start in range(0, len(refs), chunk_rows):
            yield refs[start : start + chunk_rows]

    def _row(self, ref: RowRef) -> PackedRow:
        table = self._shard(ref.shard)
        return PackedRow(*(np.array(table[name][ref.row].values) for name in SCHEMA.names))

    def _shard(self, number: int) -> pa.Table:
        if number not in self._open:
            self._open[number] = pq.read_table(self._folder / shard_name(number)).combine_chunks()
            if len(self._open) > _KEPT_SHARDS:
                self._open.popitem(last=False)
        self._open.move_to_end(number)
        return self._open[number]


MANIFEST = "manifest.json"


def shard_name(number: int) -> str:
    return f"rows-{number:05}.parquet"
