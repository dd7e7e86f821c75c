"""From data files to packed rows, on Ray Data: read, give context, encode, pack, write.

In: a `RowSource`, and how a run encodes its rows. Out: a folder of shards with its manifest, which is written last:
without one a folder is not complete and is made anew. The order is that of the rows, so the same data in the same place
always gives the same shards. A part is read by one task; what follows runs in parallel, about a thousand rows a task.
"""

import shutil
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pyarrow as pa
from rich.console import Console

from plait.documents.raw_rows import RawRow
from plait.documents.row_files import BadRow
from plait.documents.row_source import RowSource
from plait.errors import PlaitError, find_plait_error, first_line
from plait.index.stores.connect import connect_store
from plait.jobs.train.context import AddContext
from plait.jobs.train.encode import Encoder, Example
from plait.jobs.train.fields import TOO_MANY_LEVELS
from plait.jobs.train.left_out import LeftOutRows
from plait.jobs.train.objectives.objective import objective_of
from plait.jobs.train.packing import PackedRow, pack
from plait.jobs.train.parse import parse_row
from plait.jobs.train.shard_writer import BAD_ROW_COLUMNS, PACKED_SCHEMA, ShardWriter
from plait.jobs.train.shards import MANIFEST, SCHEMA, Manifest
from plait.local.machines import check_all_reach_milvus
from plait.models.chat import ChatFormat
from plait.models.tokenizer import load_tokenizer
from plait.recipes import DataConfig, ObjectiveConfig
from plait.whole_files import is_disk_full, remove_leftovers, whole_folder

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
# Nothing is said of what is done sooner.
_QUIET_S = 4.0
_LINE_EVERY_S = 10.0


@dataclass(frozen=True)
class Encoding:
    """How the rows of one run become tokens; what travels to Ray's workers."""

    base_folder: Path
    chat_format: ChatFormat
    objective: ObjectiveConfig
    data: DataConfig
    seed: int


def prepare_dataset(source: RowSource, encoding: Encoding, folder: Path, left_out: Path) -> Manifest:
    """Encode and pack the rows of `source` into `folder`, unless that was done before.

    Args:
        source: the data.
        encoding: how its rows become tokens.
        folder: what gets the shards.
        left_out: JSONL file that gets the rows which cannot be used, with the reasons, if there are any.

    Raises:
        DataError: for a file that cannot be read, more bad rows than `data.max_bad_share`, or nothing to learn from.
    """
    if (folder / MANIFEST).is_file():
        return Manifest.model_validate_json((folder / MANIFEST).read_text(encoding="utf-8"))
    folder.parent.mkdir(parents=True, exist_ok=True)
    remove_leftovers(folder.parent)
    with whole_folder(folder, is_private=False) as aside:
        writer = ShardWriter(aside, LeftOutRows(left_out), encoding.data.max_bad_share)
        try:
            with closing(_packed(source, encoding)) as tables, _told(f"prepare {folder.name}") as tell:
                for table in tables:
                    writer.add(table)
                    tell(writer)
        except Exception as error:
            cause = getattr(error, "cause", None) or error
            if is_disk_full(cause):
                raise cause from error
            raise find_plait_error(cause) or PlaitError(
                f"The training data could not be prepared ({first_line(cause)})."
            ) from error
        manifest = writer.finish(source.name)
        (aside / MANIFEST).write_text(manifest.model_dump_json(), encoding="utf-8")
        shutil.rmtree(folder, ignore_errors=True)  # one without a manifest
    return manifest


@contextmanager
def _told(title: str) -> Iterator[Callable[[ShardWriter], None]]:
    """Says how far it is, where that takes more than a few seconds: on a terminal in place, elsewhere in lines."""
    console = Console()
    status = console.status(title)
    due_s = time.monotonic() + _QUIET_S

    def tell(writer: ShardWriter) -> None:
        nonlocal due_s
        if time.monotonic() < due_s:
            return
        line = f"{title}: {writer.source_rows + writer.bad_rows} rows, {writer.tokens} tokens"
        if console.is_terminal:
            status.update(line)
            status.start()
        else:
            print(line, flush=True)
            due_s = time.monotonic() + _LINE_EVERY_S

    try:
        yield tell
    finally:
        status.stop()


def _packed(source: RowSource, encoding: Encoding) -> Generator[pa.Table, None, None]:
    """The pipeline: tables of PACKED_SCHEMA, in the order of the rows."""
    import ray

    from plait.local.ray_data import set_up_ray_data

    set_up_ray_data()
    context = ray.data.DataContext.get_current().copy()  # other pipelines of this process keep theirs
    context.execution_options.preserve_order = True
    context.target_max_block_size = _BLOCK_BYTES
    parts = pa.table({"part": source.parts})
    with ray.data.DataContext.current(context):
        listed = ray.data.from_arrow([parts.slice(i, 1) for i in range(len(parts))])
    rows = listed.map_batches(_read, fn_args=(source,), batch_size=None, batch_format="pyarrow", num_cpus=_READ_CPUS)
    if encoding.data.context is not None:
        check_all_reach_milvus()
        rows = rows.map_batches(
            AddContext,
            fn_constructor_args=(
                encoding.data.context,
                encoding.objective,
                encoding.base_folder,
                encoding.seed,
                connect_store(),
            ),
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


def _read(parts: pa.Table, source: RowSource) -> Iterator[pa.Table]:
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
