"""The process that reads documents: tasks in, documents and chunks out, over a pipe to the process that started it.

It limits its own memory, and has itself ended when a document takes too long, whatever code is at work. It ends with
the process that started it, and after a document that left it large. It imports neither Ray nor torch.
"""

import os
import pickle
import resource
import select
import signal
import threading
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from plait.documents.chunk import Chunk
from plait.documents.chunker import Chunker, Origin
from plait.documents.failure import Unreadable
from plait.documents.limits import check_bytes, check_text
from plait.documents.parse import Document, parse
from plait.documents.read import DocumentFile
from plait.documents.rows import parse_table_row
from plait.errors import PlaitError
from plait.recipes import DocumentLimits, TableConfig

# A process keeps much of what it once had, and what one document took must not count against the next.
_LARGE_SHARE = 0.5
_MAX_REASON_CHARS = 300


@dataclass(frozen=True)
class ParseTask:
    """Read a document, whose bytes follow."""

    source: str


@dataclass(frozen=True)
class RowTask:
    """Read a row of a table. `values`: by column; `table`: its configuration, as JSON."""

    values: dict[str, Any]
    file: DocumentFile
    table: str


@dataclass(frozen=True)
class ChunkTask:
    """Split a document. `chunker`: what a Chunker is made of, pickled: to do that for each takes longer than a row."""

    document: Document
    origin: Origin
    chunker: bytes


Task = ParseTask | RowTask | ChunkTask


@dataclass(frozen=True)
class Answer:
    """What became of a task. `is_last`: the process ends now."""

    result: Document | list[Chunk] | None
    error: Exception | None = None
    is_last: bool = False


def main(descriptor: int) -> None:
    """Do tasks, within the limits that come first, until the other end of a connection is gone."""
    connection = Connection(descriptor)
    limits: DocumentLimits = connection.recv()
    threading.Thread(target=_end_with, args=(descriptor,), daemon=True).start()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for who started it
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with suppress(OSError):  # where the machine has too little memory, this one goes first
        Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")
    # What it may allocate: the address space (RLIMIT_AS) has reserves of libraries in it that are never used.
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    most = _data_bytes() + limits.max_memory_bytes
    resource.setrlimit(resource.RLIMIT_DATA, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard))
    connection.send(True)
    while True:
        try:
            task: Task = connection.recv()
            data = connection.recv_bytes() if isinstance(task, ParseTask) else b""
        except EOFError:
            return
        signal.setitimer(signal.ITIMER_REAL, limits.max_seconds)  # nobody handles SIGALRM: it ends the process
        result, error = _attempt(task, data, limits)
        signal.setitimer(signal.ITIMER_REAL, 0)
        is_last = _most_bytes() > limits.max_memory_bytes * _LARGE_SHARE
        try:
            connection.send_bytes(pickle.dumps(Answer(result, error, is_last), pickle.HIGHEST_PROTOCOL))
        except OSError:
            return
        if is_last:
            return


def _end_with(descriptor: int) -> None:
    """End at once, in the middle of a document too, when nobody waits for it any more."""
    other_end = select.poll()
    other_end.register(descriptor, select.POLLHUP)
    other_end.poll()
    os._exit(1)


def _attempt(task: Task, data: bytes, limits: DocumentLimits) -> tuple[Document | list[Chunk] | None, Exception | None]:
    try:
        return _do(task, data, limits), None
    except MemoryError:
        limit = f"{limits.max_memory_bytes / 2**20:,.0f} MiB"
        return None, Unreadable(f"reading it takes more than the {limit} of limits.max_memory_bytes")
    except RecursionError:
        return None, Unreadable("it is nested too deeply")
    except (Unreadable, PlaitError) as error:
        return None, error
    except Exception as error:  # whatever a parser trips over concerns this document alone
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        return None, Unreadable(f"it cannot be parsed ({reason[:_MAX_REASON_CHARS]})")


def _do(task: Task, data: bytes, limits: DocumentLimits) -> Document | list[Chunk]:
    if isinstance(task, ChunkTask):
        return _chunker(task.chunker).chunk(task.document, task.origin)
    if isinstance(task, RowTask):
        document = parse_table_row(task.values, task.file, _table(task.table))
    else:
        check_bytes(data, task.source, limits)
        document = parse(data, task.source)
    check_text(document.text, limits)
    _check_is_text(document)
    return document


def _check_is_text(document: Document) -> None:
    """Whatever is indexed is sent as UTF-8, which has no halves of surrogate pairs."""
    try:
        f"{document.title}{document.text}".encode()
    except UnicodeEncodeError:
        raise Unreadable("it holds half a character (a lone surrogate)") from None


@cache
def _chunker(made_of: bytes) -> Chunker:
    """Reading a tokenizer takes longer than chunking a few documents."""
    return Chunker(*pickle.loads(made_of))


@cache
def _table(config: str) -> TableConfig:
    return TableConfig.model_validate_json(config)


def _data_bytes() -> int:
    return _status_bytes("VmData")


def _most_bytes() -> int:
    """The most memory that it ever had. Unlike that of `getrusage`, it does not begin with that of who started it."""
    return _status_bytes("VmHWM")


def _status_bytes(name: str) -> int:
    with open("/proc/self/status", encoding="ascii") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith(f"{name}:"))
