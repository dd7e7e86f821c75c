"""Packed rows on their way to disk: gathered into shards, counted, and refused when too many were bad.

In: tables of PACKED_SCHEMA, in order. Out: Parquet files in a folder and the manifest that describes them. It knows
nothing of where rows come from.
"""

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from plait.errors import DataError
from plait.jobs.train.left_out import LeftOutRow, LeftOutRows
from plait.jobs.train.loss import IGNORED
from plait.jobs.train.shards import SCHEMA, Manifest, shard_name

BAD_ROW_COLUMNS = ("bad_file", "bad_line", "bad_reason", "bad_text")
# A packed row or, with empty lists, a bad one. `source_rows`: how many rows of the files became this packed row and
# those after it, up to the next that says so; `unused`: the names of fields that none of them used.
PACKED_SCHEMA = pa.schema(
    [
        *SCHEMA,
        *((name, pa.int64() if name == "bad_line" else pa.string()) for name in BAD_ROW_COLUMNS),
        ("source_rows", pa.int32()),
        ("unused", pa.list_(pa.string())),
    ]
)
_ROWS_A_SHARD = 1024
_BAD_ROWS_SHOWN = 2
_BAD_ROWS_KEPT = 10
_ENOUGH_BAD_ROWS = 1000
"""Where none may be left out: so many more help nobody to mend them, and to read on may take long."""


@dataclass
class ShardWriter:
    """Gathers packed rows into shards, and counts what goes by.

    Args:
        folder: where the shards go.
        left_out: file that gets the bad rows.
        max_bad_share: share of bad rows that may be left out.
    """

    folder: Path
    left_out: LeftOutRows
    max_bad_share: float
    shard_rows: list[int] = field(default_factory=list)
    source_rows: int = 0
    examples: int = 0
    tokens: int = 0
    labels: int = 0
    bad_rows: int = 0
    first_bad: list[str] = field(default_factory=list)
    unused: set[str] = field(default_factory=set)
    _waiting: list[pa.Table] = field(default_factory=list)
    _digest: Any = field(default_factory=hashlib.sha256)

    def add(self, table: pa.Table) -> None:
        """Take rows of PACKED_SCHEMA.

        Raises:
            DataError: at a thousand bad rows, when none may be left out.
        """
        self._note(table)
        if self.bad_rows >= _ENOUGH_BAD_ROWS and not self.max_bad_share:
            raise self._too_many(f"{self.bad_rows} rows and more")
        good = table.filter(table["bad_reason"].is_null()).select(SCHEMA.names)
        self._waiting.append(good)
        self._count(good)
        while sum(map(len, self._waiting)) >= _ROWS_A_SHARD:
            rows = pa.concat_tables(self._waiting)
            self._write(rows.slice(0, _ROWS_A_SHARD))
            self._waiting = [rows.slice(_ROWS_A_SHARD)]

    def _note(self, table: pa.Table) -> None:
        self.source_rows += sum(table["source_rows"].to_pylist())
        self.unused.update(*table["unused"].drop_null().to_pylist())
        for row in table.filter(table["bad_reason"].is_valid()).select(BAD_ROW_COLUMNS).to_pylist():
            bad = LeftOutRow(*(row[name] for name in BAD_ROW_COLUMNS))
            self.left_out.add(bad)
            self.bad_rows += 1
            if len(self.first_bad) < _BAD_ROWS_KEPT:
                self.first_bad.append(str(bad))

    @property
    def _shown_bad(self) -> str:
        shown = "; ".join(self.first_bad[:_BAD_ROWS_SHOWN])
        kept = "all of them, with their reasons:" if self.bad_rows > _BAD_ROWS_SHOWN else "kept in"
        return f"{shown}; {kept} {self.left_out.file}"

    def _too_many(self, count: str) -> DataError:
        if self.max_bad_share:
            return DataError(f"{count} cannot be used: {self._shown_bad}.", "Mend them, or raise data.max_bad_share.")
        mend = "Mend it" if self.bad_rows == 1 else "Mend them"
        remedy = f"{mend}, or set data.max_bad_share to leave such rows out."
        what = self._shown_bad if self.bad_rows <= _BAD_ROWS_SHOWN else f"{count} cannot be used: {self._shown_bad}"
        return DataError(f"{what}.", remedy)

    def _count(self, rows: pa.Table) -> None:
        lengths, labels = rows["lengths"].combine_chunks().flatten(), rows["labels"].combine_chunks().flatten()
        self.examples += len(lengths)
        self.tokens += len(labels)
        self.labels += int((labels.to_numpy(zero_copy_only=False) != IGNORED).sum())

    def _write(self, rows: pa.Table) -> None:
        rows = rows.combine_chunks()
        for name in SCHEMA.names:
            column = rows[name].combine_chunks()
            self._digest.update(column.flatten().to_numpy(zero_copy_only=False).tobytes())
        pq.write_table(rows, self.folder / shard_name(len(self.shard_rows)))
        self.shard_rows.append(len(rows))

    def finish(self, where: str) -> Manifest:
        """Write what is left; says what there is. `where`: the rows come from, for errors.

        Raises:
            DataError: for too many bad rows, or nothing to learn from.
        """
        good_and_bad = self.source_rows + self.bad_rows
        if self.bad_rows > self.max_bad_share * good_and_bad:
            raise self._too_many(f"{self.bad_rows} of {good_and_bad} rows of {where}")
        if not self.examples:
            raise DataError(f"{where} holds no examples.", "See docs/train.md, Data, for what a row looks like.")
        if not self.labels:
            raise DataError(f"No example of {where} has an answer to learn from.")
        if self.bad_rows:
            print(f"{self.bad_rows} of {good_and_bad} rows are left out: {self._shown_bad}")
        if rest := pa.concat_tables(self._waiting):
            self._write(rest)
        return Manifest(
            shard_rows=self.shard_rows,
            examples=self.examples,
            tokens=self.tokens,
            labels=self.labels,
            bad_rows=self.bad_rows,
            first_bad=self.first_bad,
            unused=sorted(self.unused),
            sha256=self._digest.hexdigest(),
        )
