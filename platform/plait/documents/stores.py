"""Files wherever they lie: on this machine or in an object store.

In: a source as it stands in a recipe. Out: the files it names, and their bytes. A file is known by its URI, under which
every worker opens it: local ones must be seen by all machines under the same path, and a bucket is read with the
credentials of the machine that reads. It knows no formats.
"""

import io
import os
import stat
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from glob import has_magic
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

from plait.documents.failure import Unreadable
from plait.documents.listing import LeftOut, files_below, files_matching, part_without_wildcards
from plait.errors import DataError, did_you_mean, first_line

_EXTRA_BY_SCHEME = {"s3": "s3", "gs": "gs", "gcs": "gs"}
_BLOCK_BYTES = 2**20
_LOCAL = "file://"


@dataclass(frozen=True)
class StoredFile:
    """A file of a source.

    Attributes:
        name: its path inside the source: below the folder, or below the part of a pattern that has no wildcard.
        uri: an absolute path, or a URI.
        etag: changes when its content does, where its store keeps such a mark; else empty.
    """

    name: str
    uri: str
    etag: str = ""


@dataclass(frozen=True)
class Listing:
    """The files of a source, and what it holds besides; `is_one_file` when the source is that file itself."""

    files: tuple[StoredFile, ...]
    is_one_file: bool = False
    left_out: tuple[LeftOut, ...] = ()


def is_remote(location: str) -> bool:
    """It is a URI such as s3://bucket/folder, not a path or file:///folder."""
    return "://" in location and not location.startswith(_LOCAL)


def is_pattern(source: str) -> bool:
    """It has wildcards: docs/**/*.md."""
    return has_magic(source)


def list_files(source: str, may_link_outside: bool = False) -> Listing:
    """The files of a source: a file itself, all below a folder, or all that match a pattern.

    Hidden files and folders are left out. On this machine links are followed where they lead inside the source.

    Args:
        source: a path, a pattern or a URI.
        may_link_outside: links to files are followed wherever they lead.

    Raises:
        DataError: when there is no such file or folder, it is a pipe or a device, or its store cannot be read.
    """
    return _list_remote(source) if is_remote(source) else _list_local(source, may_link_outside)


def open_file(uri: str) -> BinaryIO:
    """Open a file for reading. Each store raises errors of its own.

    Raises:
        Unreadable: when it is a pipe, a socket or a device: these have no end, and some wait for who writes to them.
    """
    if not is_remote(uri):
        return open(uri, "rb", opener=_open_regular)
    filesystem, path = _filesystem(uri)
    # A remote file cannot read a line of at most so many bytes; a buffer on it can.
    return io.BufferedReader(filesystem.open(path, "rb"))


def _open_regular(path: str, flags: int) -> int:
    descriptor = os.open(path, flags | os.O_NONBLOCK)  # opening a pipe would wait for who writes to it
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise Unreadable("it is no regular file")
    return descriptor


def read_file(uri: str, max_bytes: int) -> bytes:
    """All bytes of a file.

    Raises:
        Unreadable: with the reason, as that it has more than `max_bytes`.
    """
    return b"".join(blocks_of(uri, max_bytes))


def blocks_of(uri: str, max_bytes: int) -> Iterator[bytes]:
    """The bytes of a file, in blocks.

    Raises:
        Unreadable: with the reason, as that it has more than `max_bytes`.
    """
    size = 0
    try:
        with open_file(uri) as stream:
            while block := stream.read(_BLOCK_BYTES):
                size += len(block)
                if size > max_bytes:
                    raise Unreadable(f"it has more than the {max_bytes:,} bytes of limits.max_bytes")
                yield block
    except Unreadable:
        raise
    except Exception as error:  # botocore's and gcsfs's errors are no OSErrors
        raise Unreadable(f"it cannot be read ({first_line(error)})") from error


def version_of(uri: str) -> str:
    """Changes when the file may have changed."""
    filesystem, path = _filesystem(uri)
    return str(filesystem.ukey(path))


def _name(path: str) -> str:
    """A path as a document's name: macOS writes `é` as two characters, and who asks for it writes one."""
    return unicodedata.normalize("NFC", path)


# ------------------------------------------------------------ local


def _list_local(source: str, may_link_outside: bool) -> Listing:
    path = Path(source.removeprefix(_LOCAL)).expanduser()
    if path.is_file():
        return Listing((_local_file(path, path.parent),), is_one_file=True)
    if path.is_dir() or is_pattern(source):
        listed = (files_below if path.is_dir() else files_matching)(path, may_link_outside)
        return Listing(tuple(_local_file(file, listed.root) for file in listed.files), left_out=listed.left_out)
    if path.exists():
        raise DataError(f"'{source}' is no regular file.", "Save what it gives to a file, and name that.")
    siblings = [each.name for each in path.parent.iterdir()] if path.parent.is_dir() else []
    near = did_you_mean(path.name, siblings)
    raise DataError(f"There is no file or folder '{source}'.", near or "Correct the recipe.")


def _local_file(path: Path, root: Path) -> StoredFile:
    return StoredFile(_name(path.relative_to(root).as_posix()), str(path.absolute()))


# ------------------------------------------------------------ object stores


def _list_remote(source: str) -> Listing:
    try:
        filesystem, path = _filesystem(source)
        if is_pattern(path) and not filesystem.exists(path):  # a file may be called data[1].jsonl
            root, found = str(part_without_wildcards(Path(path))), filesystem.glob(path, detail=True)
        else:
            root, found = path.rstrip("/"), filesystem.find(path, detail=True)
    except (ImportError, ValueError) as error:
        extra = _EXTRA_BY_SCHEME.get(source.partition("://")[0])
        remedy = f"Run: pip install 'plait[{extra}]'" if extra else "Give a path, s3://…, gs://… or hf://datasets/…"
        raise DataError(f"'{source}' cannot be opened ({first_line(error)}).", remedy) from error
    except FileNotFoundError:
        found = {}
    except Exception as error:  # as in read_file
        raise DataError(f"'{source}' cannot be read ({first_line(error)}).", "Check its credentials.") from error
    # Some consoles keep an empty object for a folder.
    files = {name: about for name, about in found.items() if about["type"] == "file" and not name.endswith("/")}
    if not files:
        raise DataError(f"There is nothing at '{source}'.", "Correct the recipe.")
    is_one_file = list(files) == [root]
    parent = str(PurePosixPath(root).parent) if is_one_file else root
    stored = [
        StoredFile(_name(name.removeprefix(parent).lstrip("/")), filesystem.unstrip_protocol(name), _etag(about))
        for name, about in sorted(files.items())
    ]
    return Listing(tuple(file for file in stored if not _is_hidden(file.name)), is_one_file)


def _is_hidden(name: str) -> bool:
    return any(part.startswith(".") for part in name.split("/"))


def _etag(about: dict[str, Any]) -> str:
    mark = about.get("ETag") or about.get("etag") or about.get("md5Hash")
    return f"{mark} {about['size']}" if mark else ""


def _filesystem(uri: str) -> tuple[Any, str]:
    import fsspec

    filesystem, path = fsspec.core.url_to_fs(uri, use_listings_cache=False)
    return filesystem, str(path)
