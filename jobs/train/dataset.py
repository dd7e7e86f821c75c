"""From data files to a folder of packed rows that a run reads.

In: a `RowSource`, and how a run encodes its rows. Out: a folder of shards with its manifest, which is written last:
without one a folder is not complete and is made anew.
"""

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from rich.console import Console

from plait.documents.row_source import RowSource
from plait.errors import PlaitError, find_plait_error, first_line
from plait.jobs.train.left_out import LeftOutRows
from plait.jobs.train.packed_rows import Encoding, packed_rows
from plait.jobs.train.shard_writer import ShardWriter
from plait.jobs.train.shards import MANIFEST, Manifest
from plait.whole_files import is_disk_full, remove_leftovers, whole_folder

# Nothing is said of what is done sooner.
_QUIET_S = 4.0
_LINE_EVERY_S = 10.0


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
            with closing(packed_rows(source, encoding)) as tables, _told(f"prepare {folder.name}") as tell:
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
