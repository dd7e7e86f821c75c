"""From data files to packed rows, on Ray Data: read, give context, encode, pack, write.

In: files, and how a run encodes them. Out: a folder of shards with its manifest, which is written last: without one a
folder is not complete and is made anew. The order is that of the files, so the same data in the same place always gives
the same shards. A file is read by one task; what follows runs in parallel, about a thousand rows a task.
"""

import json
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

from plait.errors import PlaitError, find_plait_error
from plait.jobs.train.context import AddContext
from plait.jobs.train.encode import Encoder, Example
from plait.jobs.train.packing import pack
from plait.jobs.train.rows import BadRow, parse_row
from plait.jobs.train.shard_writer import PACKED_SCHEMA, ShardWriter
from plait.jobs.train.shards import MANIFEST, SCHEMA, Manifest
from plait.jobs.train.sources import DataFile, read_rows
from plait.local.machines import check_all_reach_milvus
from plait.local.milvus import milvus_uri
from plait.models.chat import ChatFormat
from plait.models.tokenizer import load_tokenizer
from plait.recipes import DataConfig, ObjectiveConfig
from plait.settings import settings

_RAW_SCHEMA = pa.schema([("file", pa.string()), ("line", pa.int64()), ("fields", pa.string()), ("error", pa.string())])
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


def prepare_dataset(files: Sequence[DataFile], encoding: Encoding, folder: Path) -> Manifest:
    """Encode and pack `files` into `folder`, unless that was done before.

    Raises:
        DataError: for a file that cannot be read, more bad rows than `data.max_bad_share`, or nothing to learn from.
    """
    if (folder / MANIFEST).is_file():
        return Manifest.model_validate_json((folder / MANIFEST).read_text(encoding="utf-8"))
    aside = folder.with_name(f"{folder.name}.part")
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir(parents=True)
    writer = ShardWriter(aside, encoding.data.max_bad_share)
    try:
        with closing(_packed(files, encoding)) as tables, _told(f"prepare {folder.name}") as tell:
            for table in tables:
                writer.add(table)
                tell(writer)
    except Exception as error:
        cause = getattr(error, "cause", None) or error
        raise find_plait_error(cause) or PlaitError(f"The training data could not be prepared ({cause}).") from error
    manifest = writer.finish(files)
    (aside / MANIFEST).write_text(manifest.model_dump_json(), encoding="utf-8")
    shutil.rmtree(folder, ignore_errors=True)  # one without a manifest
    aside.rename(folder)
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


def _packed(files: Sequence[DataFile], encoding: Encoding) -> Generator[pa.Table, None, None]:
    """The pipeline: tables of PACKED_SCHEMA, in the order of the files."""
    import ray

    from plait.local.ray_data import set_up_ray_data

    set_up_ray_data()
    context = ray.data.DataContext.get_current().copy()  # other pipelines of this process keep theirs
    context.execution_options.preserve_order = True
    context.target_max_block_size = _BLOCK_BYTES
    uris = pa.table({"uri": [file.uri for file in files]})
    with ray.data.DataContext.current(context):
        listed = ray.data.from_arrow([uris.slice(i, 1) for i in range(len(uris))])
    rows = listed.map_batches(_read, batch_size=None, batch_format="pyarrow", num_cpus=_READ_CPUS)
    if encoding.data.context is not None:
        check_all_reach_milvus()
        rows = rows.map_batches(
            AddContext,
            fn_constructor_args=(
                encoding.data.context,
                encoding.objective,
                encoding.base_folder,
                encoding.seed,
                milvus_uri(),
                settings().milvus_token,
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


def _read(files: pa.Table) -> Iterator[pa.Table]:
    for uri in files["uri"].to_pylist():
        block: list[tuple[str, int, str, str]] = []
        for row in read_rows(DataFile(uri)):
            block.append((row.file, row.line, json.dumps(row.value, default=str), row.error))
            if len(block) == _ROWS_A_BLOCK:
                yield _raw_table(block)
                block = []
        yield _raw_table(block)


def _raw_table(rows: Sequence[tuple[str, int, str, str]]) -> pa.Table:
    return pa.Table.from_pylist([dict(zip(_RAW_SCHEMA.names, row, strict=True)) for row in rows], schema=_RAW_SCHEMA)


def encode_and_pack(rows: pa.Table, encoding: Encoding) -> pa.Table:
    """Raw rows (_RAW_SCHEMA) to packed ones (PACKED_SCHEMA); a bad row becomes a sentence in `bad_row`."""
    encoder = Encoder(
        _tokenizer(encoding.base_folder), encoding.chat_format, encoding.objective, encoding.data.max_tokens
    )
    groups: list[list[Example]] = []
    bad: list[str] = []
    for row in rows.to_pylist():
        try:
            if row["error"]:
                raise BadRow(row["error"])
            groups += encoder.encode(parse_row(json.loads(row["fields"]), encoding.objective))
        except BadRow as error:
            bad.append(f"{row['file']}:{row['line']} {error}")
    packed = pack(groups, encoding.data.max_tokens, encoding.data.packing)
    columns = {name: [getattr(row, name) for row in packed] + [[]] * len(bad) for name in SCHEMA.names}
    count = len(packed) + len(bad)
    source_rows = [len(rows) - len(bad), *[0] * count][:count]
    outcome = {"bad_row": [None] * len(packed) + bad, "source_rows": source_rows}
    return pa.table(columns | outcome, schema=PACKED_SCHEMA)


@cache
def _tokenizer(folder: Path) -> Any:
    """One a process: reading a tokenizer takes longer than encoding a few rows."""
    return load_tokenizer(folder)
