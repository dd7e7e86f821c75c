"""Documents are read in a process of their own, so that one that takes too much ends that process and nothing else.

In: a document's bytes, or its text. Out: the `Document`, or its chunks, or `Unreadable` with the reason: it broke a
limit, or the process that read it ended. The process (reader_process.py) reads one document after the other, and is
started anew when it has ended.
"""

import os
import pickle
import resource
import signal
import subprocess
import sys
import threading
from functools import cache
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, cast

from plait.documents.chunk import Chunk
from plait.documents.chunker import Origin
from plait.documents.failure import Unreadable
from plait.documents.parse import Document
from plait.documents.read import DocumentFile
from plait.documents.reader_process import Answer, ChunkTask, ParseTask, RowTask, Task
from plait.errors import PlaitError
from plait.recipes import ChunkConfig, DocumentLimits, TableConfig

_PROGRAM = "from plait.documents.reader_process import main"
_GRACE_S = 10.0  # the process ends itself when the time is over; this is for one that cannot
_STARTS_WITHIN_S = 120.0  # it imports parsers for a second; a machine that starts many at once takes longer
_NEAR_LIMIT = 0.8  # of the memory allowed: who ended with so much of it ended for want of more


class DocumentReader:
    """Reads and splits documents within limits. One at a time; it may be used from several threads.

    `limits`: for each document.
    """

    def __init__(self, limits: DocumentLimits) -> None:
        self._limits = limits
        self._one_at_a_time = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._connection: Connection | None = None
        self._inherited_bytes = 0

    def parse(self, data: bytes, source: str) -> Document:
        """Read a document; `source` is its name, whose suffix says the format.

        Raises:
            Unreadable: with the reason.
            PlaitError: when the process does not start.
        """
        return cast(Document, self._ask(ParseTask(source), data))

    def parse_table_row(self, values: dict[str, Any], file: DocumentFile, table: TableConfig) -> Document:
        """The document of a row of a table, from its values by column.

        Raises:
            Unreadable: with the reason.
        """
        return cast(Document, self._ask(RowTask(values, file, table.model_dump_json())))

    def chunk(
        self, document: Document, origin: Origin, model_folder: Path, config: ChunkConfig, settings_hash: str
    ) -> list[Chunk]:
        """The chunks of a document, as plait.documents.chunker.Chunker makes them.

        Raises:
            Unreadable: when splitting it takes more than the limits.
            ModelNotFound: when the folder holds no tokenizer.json.
        """
        made_of = _pickled(model_folder, config, settings_hash)
        return cast(list[Chunk], self._ask(ChunkTask(document, origin, made_of)))

    def stop(self) -> None:
        """End the process; what it is at is Unreadable. The next document starts another."""
        process = self._process
        if process is not None:
            process.kill()

    def _ask(self, task: Task, data: bytes = b"") -> Document | list[Chunk] | None:
        with self._one_at_a_time:
            connection = self._running()
            try:
                connection.send(task)
                if isinstance(task, ParseTask):
                    connection.send_bytes(data)
                if not connection.poll(self._limits.max_seconds + _GRACE_S):
                    self.stop()
                answer: Answer = pickle.loads(connection.recv_bytes())
            except (EOFError, OSError):
                raise Unreadable(self._why_it_ended()) from None
            if answer.is_last:
                self._forget()
        if answer.error is not None:
            raise answer.error
        return answer.result

    def _running(self) -> Connection:
        if self._process is not None and self._process.poll() is not None:
            self._forget()
        if self._connection is None:
            ours, theirs = Pipe()
            environment = os.environ | {
                "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
                "OMP_NUM_THREADS": "1",
                "TOKENIZERS_PARALLELISM": "false",
            }
            self._inherited_bytes = _most_bytes(resource.getrusage(resource.RUSAGE_SELF))
            with theirs:
                self._process = subprocess.Popen(
                    # Not by -m: its classes would then be of a module __main__, which is none that we know.
                    [sys.executable, "-c", f"{_PROGRAM}; main({theirs.fileno()})"],
                    pass_fds=(theirs.fileno(),),
                    stdin=subprocess.DEVNULL,
                    env=environment,
                )
            self._connection = ours
            try:
                ours.send(self._limits)
                if not ours.poll(_STARTS_WITHIN_S):
                    self.stop()
                ours.recv()  # it is ready: what happens from now on is a document's doing
            except (EOFError, OSError):
                self._forget()
                raise PlaitError("The process that reads documents does not start.", "The log says why.") from None
        return self._connection

    def _why_it_ended(self) -> str:
        process, most_bytes = self._process, 0
        if process is None:
            return "it was not read"
        if process.returncode is None:
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode, most_bytes = os.waitstatus_to_exitcode(status), _most_bytes(usage)
        if most_bytes <= self._inherited_bytes:  # Linux begins with the most that this process had: nothing is known
            most_bytes = 0
        self._forget()
        return _reason(process.returncode, most_bytes, self._limits)

    def _forget(self) -> None:
        if self._connection is not None:
            self._connection.close()
        if self._process is not None:
            try:
                self._process.wait(_GRACE_S)
            except subprocess.TimeoutExpired:  # out of memory, it may be unable to end itself
                self._process.kill()
                self._process.wait()
        self._process = self._connection = None

    def close(self) -> None:
        """End the process when it has done what it is at. The next document starts another."""
        with self._one_at_a_time:
            self._forget()


@cache
def _pickled(model_folder: Path, config: ChunkConfig, settings_hash: str) -> bytes:
    return pickle.dumps((model_folder, config, settings_hash))


def _most_bytes(usage: resource.struct_rusage) -> int:
    return usage.ru_maxrss * 1024


def _reason(exit_code: int, most_bytes: int, limits: DocumentLimits) -> str:
    if exit_code == -signal.SIGALRM:
        return f"reading it takes more than the {limits.max_seconds:g} s of limits.max_seconds"
    if most_bytes > _NEAR_LIMIT * limits.max_memory_bytes:
        return f"reading it takes more than the {limits.max_memory_bytes / 2**20:,.0f} MiB of limits.max_memory_bytes"
    how = signal.Signals(-exit_code).name if exit_code < 0 else f"exit code {exit_code}"
    return f"it ended the process that read it ({how})"
