"""A table that grows in files: rows are put into a folder as parts, each written whole.

In: rows of one Arrow schema. Out: the same rows, after a crash too: a process that is killed loses only what it has not
flushed. It does not know what a row means, apart from the columns that tell rows apart.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from plait.errors import DataError, first_line
from plait.whole_files import remove_leftovers, write_whole

_GLOB = "part-*.parquet"


class Parts:
    """The parts of one table, for one process.

    Args:
        folder: it is made when something is written.
        schema: of every part.
        key: the columns that tell rows apart; of equal ones the last counts.
        added: the last columns, which parts of earlier versions lack; they are null there.
    """

    def __init__(self, folder: Path, schema: pa.Schema, key: Sequence[str], added: Sequence[str] = ()) -> None:
        self._folder, self._schema, self._key, self._added = folder, schema, tuple(key), added
        self._pending: list[dict[str, Any]] = []

    def rows(self) -> list[dict[str, Any]]:
        """Everything that is on the disk, in the order in which it was written.

        Raises:
            DataError: for a part that is not one of this table's.
        """
        rows: dict[tuple[Any, ...], dict[str, Any]] = {}
        for file in self._files():
            try:
                table = pq.read_table(file)
            except (pa.ArrowException, OSError) as error:
                raise DataError(f"'{file}' cannot be read ({first_line(error)}).", "Remove it.") from error
            for field in map(self._schema.field, self._added):
                if field.name not in table.column_names:
                    table = table.append_column(field, pa.nulls(len(table), field.type))
            if not table.schema.equals(self._schema):
                raise DataError(f"'{file}' has other columns than this version of Plait writes.", "Remove its folder.")
            for row in table.to_pylist():
                rows[tuple(row[name] for name in self._key)] = row
        return list(rows.values())

    def add(self, row: dict[str, Any]) -> None:
        """Take a row; `flush` writes it."""
        self._pending.append(row)

    def flush(self) -> None:
        """Write what was added since the last time.

        Raises:
            InsufficientStorage: when the disk is full.
        """
        if self._pending:
            self._write(self._pending, self._next_number())
            self._pending = []

    def merge(self, is_kept: Callable[[dict[str, Any]], bool]) -> None:
        """Make one part of all rows that are to be kept, once nothing more is added for now."""
        self.flush()
        files, rows = self._files(), self.rows()
        kept = [row for row in rows if is_kept(row)]
        if len(files) < 2 and len(kept) == len(rows):
            return
        # Killed before the others are gone, it leaves rows twice, of which one counts.
        self._write(kept, self._next_number())
        for file in files:
            file.unlink()
        remove_leftovers(self._folder)

    def _files(self) -> list[Path]:
        return sorted(self._folder.glob(_GLOB))

    def _next_number(self) -> int:
        files = self._files()
        return int(files[-1].stem.rpartition("-")[2]) + 1 if files else 0

    def _write(self, rows: list[dict[str, Any]], number: int) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        sink = pa.BufferOutputStream()
        pq.write_table(pa.Table.from_pylist(rows, schema=self._schema), sink, compression="zstd")
        write_whole(self._folder / f"part-{number:06}.parquet", sink.getvalue().to_pybytes())
