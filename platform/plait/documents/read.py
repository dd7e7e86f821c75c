"""Find documents, and tell by a hash whether one has changed.

In: the sources of a recipe. Out: for every document the name by which the index knows it, and where its bytes are. It
does not know what the bytes mean.
"""

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import PurePosixPath

import pyarrow as pa

from plait.documents.formats import FORMATS
from plait.documents.listing import LeftOut, described
from plait.documents.row_files import TABLES
from plait.documents.stores import StoredFile, list_files
from plait.documents.uploads import attachments, uploaded_files
from plait.errors import DataError, InvalidInput

FILE_SCHEMA = pa.schema(
    [
        ("source", pa.string()),
        ("uri", pa.string()),
        ("etag", pa.string()),
        ("start", pa.int64()),
        ("length", pa.int64()),
    ]
)
"""Documents to read: the fields of a DocumentFile."""


@dataclass(frozen=True)
class DocumentFile:
    """A document: a file, or a row of a table.

    Attributes:
        source: its name. A file's is the path inside the folder it was found in, so an index moves with its folder.
        uri: of the file, an absolute path or a URI.
        etag: tells its versions apart; empty where one must read it to know.
        start: where a row is in its table (plait.documents.row_files.FileRow).
        length: of a row; 0: the document is the whole file.
    """

    source: str
    uri: str
    etag: str = ""
    start: int = 0
    length: int = 0

    @property
    def is_row(self) -> bool:
        """It is a row of a table, not a file."""
        return self.length > 0


@dataclass(frozen=True)
class Found:
    """The documents of some sources, by name, and how many files of which suffix were left out as unknown.

    `tables` are files whose rows are documents; `left_out` are pipes, devices, and links that lead out of their source.
    """

    documents: tuple[DocumentFile, ...]
    skipped: dict[str, int]
    tables: tuple[StoredFile, ...] = ()
    left_out: tuple[LeftOut, ...] = ()


def find_documents(sources: Sequence[str], with_tables: bool = False) -> Found:
    """Every file of a known format in the sources, hidden files and folders left out.

    Args:
        sources: files, folders, patterns, URIs.
        with_tables: rows of tables are documents; otherwise tables are of no known format.

    Raises:
        DataError: when a source does not exist, or there is no document in any.
        InvalidInput: when a source is a file of an unknown format, or two documents have the same name.
    """
    files: dict[str, StoredFile] = {}
    skipped: Counter[str] = Counter()
    known = {*FORMATS, *(TABLES if with_tables else ())}
    empty: list[str] = []
    left_out: list[LeftOut] = []
    for source in sources:
        listing = list_files(source)
        left_out += listing.left_out
        if not listing.files:
            empty.append(source)
        for file in listing.files:
            suffix = _suffix(file)
            if suffix in known:
                _add(file, files)
            elif listing.is_one_file:
                raise InvalidInput(f"'{source}' is of no known format.", _remedy(suffix))
            else:
                skipped[suffix or "(no suffix)"] += 1
    if not files:
        remedy = next((_remedy(suffix) for suffix in skipped if suffix in TABLES), _remedy(""))
        but = f", only {described(left_out)}" if left_out else ""
        raise DataError(f"The sources hold no documents: {', '.join(sources)}{but}.", remedy)
    if empty:
        raise DataError(
            f"There is no file in '{empty[0]}': what the index has from there would be removed.",
            "Mount it, correct the recipe's sources, or leave it out.",
        )
    stored = [files[name] for name in sorted(files)]
    return Found(
        documents=tuple(DocumentFile(f.name, f.uri, f.etag) for f in stored if _suffix(f) not in TABLES),
        skipped=dict(skipped),
        tables=tuple(f for f in stored if _suffix(f) in TABLES),
        left_out=tuple(left_out),
    )


def with_uploaded(found: Found, collection: str, tenant: str) -> Found:
    """The documents found, and those that were put into the collection over the API: whoever ingests, it keeps them."""
    attached = (a for a in attachments.of_collection(collection, tenant) if a.status == "completed")
    files = [uploaded_files.file(a.file_id) for a in attached]
    documents = tuple(DocumentFile(file.source, str(file.path)) for file in files)
    return replace(found, documents=(*found.documents, *documents))


def _remedy(suffix: str) -> str:
    if suffix in TABLES:
        return "Name the column of its text: table.text=COLUMN"
    return f"Known formats: {', '.join(sorted(FORMATS))}; tables, with table.text: {', '.join(sorted(TABLES))}."


def _suffix(file: StoredFile) -> str:
    return PurePosixPath(file.name).suffix.lower()


def _add(file: StoredFile, files: dict[str, StoredFile]) -> None:
    same = files.setdefault(file.name, file)
    if same is not file and same.uri != file.uri:
        raise InvalidInput(
            f"Two documents are named '{file.name}': '{same.uri}' and '{file.uri}'.",
            "Ingest a folder that holds both, or use two tenants or collections.",
        )


def file_table(documents: Sequence[DocumentFile]) -> pa.Table:
    """Documents as a table of FILE_SCHEMA."""
    return pa.Table.from_pylist([asdict(document) for document in documents], schema=FILE_SCHEMA)


def content_hash(data: bytes | Iterable[bytes], settings_hash: str) -> str:
    """Hash of a document's bytes (or its etag) and of the settings that make its chunks: equal hashes, equal chunks.

    `data`: whole or in blocks.
    """
    hashed = hashlib.sha256(settings_hash.encode())
    for block in [data] if isinstance(data, bytes) else data:
        hashed.update(block)
    return hashed.hexdigest()
