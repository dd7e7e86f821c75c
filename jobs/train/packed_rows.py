"""From rows to packed token ids, over Ray Data: read, give context, encode, pack.

In: a `RowSource`, and how a run encodes its rows. Out: packed rows and bad ones, in the order of the rows, so the same
data in the same place always gives the same. A part is read by one task; what follows runs in parallel, about a
thousand rows a task.
"""

from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pyarrow as pa

from plait.documents.raw_rows import RawRow
from plait.documents.row_files import BadRow
from plait.documents.row_source import RowSource
from plait.index.stores.connect import connect_store
from plait.jobs.train.context import AddContext
from plait.jobs.train.encode import Encoder, Example
from plait.jobs.train.fields import TOO_MANY_LEVELS
from plait.jobs.train.objectives.objective import objective_of
from plait.jobs.train.packing import PackedRow, pack
from plait.jobs.train.parse import parse_row
from plait.jobs.train.shard_writer import BAD_ROW_COLUMNS, PACKED_SCHEMA
from plait.jobs.train.shards import SCHEMA
from plait.local.machines import check_all_reach_milvus
from plait.models.chat import ChatFormat
from plait.models.tokenizer import load_tokenizer
from plait.recipes import DataConfig, ObjectiveConfig

_RAW_SCHEMA = pa.schema([("file", pa.string()), ("line", pa.int64()), ("text", pa.string()), ("error", pa.string())])
_BadRow = tuple[str, int, str, str]
"""File, line, reason and text, as in BAD_ROW_COLUMNS."""
_ROWS_A_BLOCK = 1000
# A block is what a task gets at least. At Ray's 128 MiB most data sets would be a single one, encoded by a single task.
_BLOCK_BYTES = 2**20
# Logical CPUs, small enough that every stage fits beside the others on a machine of two. They differ because Ray fuses
# stages that ask for the same, and would then read and encode all files in one task.
_READ_CPUS = 0.25
_CONTEXT_CPUS = 0.25
_ENCODE_CPUS = 0.5


@dataclass(frozen=True)
class Encoding:
    """How the rows of one run become tokens; what travels to Ray's workers."""

    base_folder: Path
    chat_format: ChatFormat
    objective: ObjectiveConfig
    data: DataConfig
    seed: int


def packed_rows(source: RowSource, encoding: Encoding) -> Generator[pa.Table, None, None]:
    """Tables of PACKED_SCHEMA, in the order of the rows. Ray must be connected."""
    import ray

    from plait.local.ray_data import set_up_ray_data

    set_up_ray_data()
    context = ray.data.DataContext.get_current().copy()  # other pipelines of this process keep theirs
    context.execution_options.preserve_order = True
    context.target_max_block_size = _BLOCK_BYTES
    parts = pa.table({"part": source.parts})
    with ray.data.DataContext.current(context):
        listed = ray.data.from_arrow([parts.slice(i, 1) for i in range(len(parts))])
    rows = listed.map_batches(
        read_part, fn_args=(source,), batch_size=None, batch_format="pyarrow", num_cpus=_READ_CPUS
    )
    if encoding.data.context is not None:
        check_all_reach_milvus()
        rows = rows.map_batches(
            AddContext,
            fn_constructor_args=context_arguments(encoding),
            batch_size=_ROWS_A_BLOCK,
            batch_format="pyarrow",
            compute=ray.data.ActorPoolStrategy(size=1),
            num_cpus=_CONTEXT_CPUS,
        )
    packed = rows.map_batches(
        encode_and_pack,
        fn_args=(encoding,),
        batch_size=_ROWS_A_BLOCK,
        batch_format="pyarrow",
        num_cpus=_ENCODE_CPUS,
    )
    yield from packed.iter_batches(batch_size=None, batch_format="pyarrow")


def context_arguments(encoding: Encoding) -> tuple[Any, ...]:
    """What `AddContext` is made with."""
    return encoding.data.context, encoding.objective, encoding.base_folder, encoding.seed, connect_store()


def read_part(parts: pa.Table, source: RowSource) -> Iterator[pa.Table]:
    """The raw rows (_RAW_SCHEMA) of parts of a source, which stand in the column `part`."""
    for part in parts["part"].to_pylist():
        block: list[RawRow] = []
        for row in source.rows(part):
            block.append(row)
            if len(block) == _ROWS_A_BLOCK:
                yield _raw_table(block)
                block = []
        yield _raw_table(block)


def _raw_table(rows: Sequence[RawRow]) -> pa.Table:
    columns = {name: [getattr(row, name) for row in rows] for name in _RAW_SCHEMA.names}
    return pa.table(columns, schema=_RAW_SCHEMA)


def encode_and_pack(rows: pa.Table, encoding: Encoding) -> pa.Table:
    """Raw rows (_RAW_SCHEMA) to packed ones (PACKED_SCHEMA), and to rows that say what is bad."""
    objective = objective_of(encoding.objective)
    encoder = Encoder(_tokenizer(encoding.base_folder), encoding.chat_format, encoding.data.max_tokens)
    groups: list[list[Example]] = []
    bad: list[_BadRow] = []
    unused: set[str] = set()
    for row in rows.to_pylist():
        try:
            parsed = parse_row(RawRow(**row).values(), objective)
            groups += objective.encode(parsed.meaning, encoder)
            unused |= parsed.unused
        except (BadRow, RecursionError) as error:
            reason = str(error) if isinstance(error, BadRow) else TOO_MANY_LEVELS
            bad.append((row["file"], row["line"], reason, row["text"]))
    packed = pack(groups, encoding.data.max_tokens, encoding.data.packing)
    return _outcome(packed, bad, len(rows) - len(bad), sorted(unused))


def _outcome(packed: Sequence[PackedRow], bad: Sequence[_BadRow], source_rows: int, unused: list[str]) -> pa.Table:
    count = len(packed) + len(bad)
    columns: dict[str, list[Any]] = {
        "source_rows": [source_rows, *[0] * count][:count],
        "unused": [unused, *[None] * count][:count],
    }
    for name in SCHEMA.names:
        columns[name] = [getattr(row, name) for row in packed] + [[]] * len(bad)
    for index, name in enumerate(BAD_ROW_COLUMNS):
        columns[name] = [None] * len(packed) + [row[index] for row in bad]
    return pa.table({name: columns[name] for name in PACKED_SCHEMA.names}, schema=PACKED_SCHEMA)


@cache
def _tokenizer(folder: Path) -> Any:
    """One a process: reading a tokenizer takes longer than encoding a few rows."""
    return load_tokenizer(folder)
