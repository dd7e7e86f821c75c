"""CSV files as people save them: in any encoding, separated by commas, semicolons, tabs or bars.

In: an open file. Out: its header, and its records, each with its place, by which it is found again without reading the
records before it. It knows neither what the columns mean nor what becomes of a record. Values stay as they are written:
a decimal comma stays a comma.
"""

import csv
import io
from codecs import getincrementaldecoder
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import BinaryIO

from plait.documents.text_encoding import Encoding, UnknownEncoding, encoding_of

DELIMITERS = (",", ";", "\t", "|")
"""What a delimiter is looked for among."""

MAX_RECORD_BYTES = 128 * 2**20
"""A record is held in memory: a quotation without an end would fill it."""
csv.field_size_limit(MAX_RECORD_BYTES)  # the default, 131,072 characters, is less than a document may have

_HEAD_BYTES = 2**18  # tells encoding and delimiter
_SNIFFED_RECORDS = 100
_MARKS = (  # UTF-32's begins with UTF-16's
    (b"\xff\xfe\0\0", "utf-32-le"),
    (b"\0\0\xfe\xff", "utf-32-be"),
    (b"\xff\xfe", "utf-16-le"),
    (b"\xfe\xff", "utf-16-be"),
    (b"\xef\xbb\xbf", "utf-8"),
)
_BYTES_A_UNIT = {"utf-16-le": 2, "utf-16-be": 2, "utf-32-le": 4, "utf-32-be": 4}


class CsvError(ValueError):
    """A file that cannot be read as CSV; its text says why, to follow the file's name and a colon."""


@dataclass(frozen=True)
class CsvRecord:
    """A record: `start` and `length` are its bytes in the file, `line` where it begins, from 1 (0: not known)."""

    start: int
    length: int
    values: list[str]
    line: int = 0


@dataclass(frozen=True)
class CsvFormat:
    """How a file is written. `start`: bytes before its header, of a mark and of Excel's line `sep=;`. `caution`: what a
    reader should know about the encoding, empty where that is sure. `is_ascii`: all that was looked at is ASCII."""

    encoding: str
    delimiter: str
    start: int
    lines_before: int = 0
    caution: str = ""
    is_ascii: bool = False


class CsvFile:
    """An open CSV file with a header, its first record that says anything; values may hold line ends between quotes.

    A file that begins in ASCII is taken for UTF-8. Where it turns out to be none, `format` gets the encoding that its
    first bytes beyond ASCII are in.

    Args:
        stream: the file, which can seek.
        delimiter: None: what the file's line `sep=` says, else what makes equally long records.
        columns: names that the header holds, where they are known; they help to find the delimiter.

    Raises:
        CsvError: when encoding or delimiter cannot be told, or what is read is no CSV.

    >>> file = CsvFile(io.BytesIO("Straße;Preis\\nRing;1,50".encode("cp1252")))
    >>> file.header, [record.values for record in file.records()]
    (('Straße', 'Preis'), [['Ring', '1,50']])
    """

    def __init__(self, stream: BinaryIO, delimiter: str | None = None, columns: Sequence[str] = ()) -> None:
        self._stream = stream
        stream.seek(0)
        self.format = _format_of(stream.read(_HEAD_BYTES), delimiter, tuple(columns))
        records = self._records(self.format.start, self.format.lines_before)
        header = next((record for record in records if _says_anything(record.values)), None)
        self.header = tuple(name.strip() for name in header.values) if header else ()
        if any("\0" in name for name in self.header):
            raise CsvError("its header holds NUL characters: save it as UTF-8")
        self._body = (header.start + header.length, self._lines_read) if header else (self.format.start, 0)

    def records(self) -> Iterator[CsvRecord]:
        """All records after the header, as a stream; empty lines are left out."""
        return (record for record in self._records(*self._body) if record.values)

    def record(self, start: int, length: int) -> CsvRecord:
        """The record at a place."""
        self._stream.seek(start)
        lines = io.StringIO(self._decoded(self._stream.read(length)), newline="")
        return CsvRecord(start, length, next(self._parsed(lines), []))

    def _records(self, start: int, lines_before: int) -> Iterator[CsvRecord]:
        """The reader takes line by line: what was read when it gives a record is the record's end."""
        self._stream.seek(start)
        self._end, self._lines_read = start, lines_before
        line = lines_before + 1
        for values in self._parsed(self._lines()):
            yield CsvRecord(start, self._end - start, values, line)
            start, line = self._end, self._lines_read + 1

    def _parsed(self, lines: Iterable[str]) -> Iterator[list[str]]:
        try:
            yield from csv.reader(lines, delimiter=self.format.delimiter, strict=True)
        except csv.Error as error:
            if str(error).startswith("new-line character"):
                raise CsvError("its lines end in CR alone: save it with LF") from None
            raise CsvError(f"a quotation does not end, or ends within a value ({error})") from None

    def _lines(self) -> Iterator[str]:
        unit = _BYTES_A_UNIT.get(self.format.encoding, 1)
        line_end = "\n".encode(self.format.encoding)
        while line := self._stream.readline(MAX_RECORD_BYTES + 1):
            if len(line) > MAX_RECORD_BYTES:
                raise CsvError(f"a line has more than {MAX_RECORD_BYTES:,} bytes")
            while unit > 1 and not (len(line) % unit == 0 and line.endswith(line_end)):
                more = self._stream.read(-len(line) % unit) or self._stream.readline()
                if not more:
                    break
                line += more
            self._end += len(line)
            self._lines_read += 1
            yield self._decoded(line)

    def _decoded(self, data: bytes) -> str:
        try:
            return data.decode(self.format.encoding)
        except UnicodeDecodeError:
            if self.format.is_ascii:
                self._look_further()
                return self._decoded(data)
            name = self.format.encoding.upper().replace("_", "-")
            raise CsvError(f"it is not {name} text there: save it as UTF-8") from None

    def _look_further(self) -> None:
        """Tell the encoding by the first line that is not ASCII, and what follows it."""
        place = self._stream.tell()
        self._stream.seek(start := self.format.start)
        while (line := self._stream.readline(_HEAD_BYTES)).isascii() and line:
            start += len(line)
        self._stream.seek(start)
        found = _encoding(self._stream.read(_HEAD_BYTES))
        self._stream.seek(place)
        self.format = replace(self.format, encoding=found.codec, caution=found.caution, is_ascii=False)


@lru_cache(maxsize=16)  # a table is opened for every few rows of it
def _format_of(head: bytes, delimiter: str | None, columns: Sequence[str]) -> CsvFormat:
    mark, encoding = next(((mark, name) for mark, name in _MARKS if head.startswith(mark)), (b"", ""))
    found = Encoding(encoding) if encoding else _encoding(head)
    encoding = found.codec
    text = head[len(mark) :].decode(encoding, errors="ignore")  # the last character may be cut
    start, lines_before, told = len(mark), 0, ""
    first = text.split("\n", 1)[0]
    if len(first.rstrip("\r")) == len("sep=;") and first.lower().startswith("sep="):
        told = first[len("sep=")]
        text = text[len(first) + 1 :]
        start, lines_before = start + len((first + "\n").encode(encoding)), 1
    delimiter = delimiter or told or _sniffed(text, columns, is_cut=len(head) == _HEAD_BYTES)
    return CsvFormat(encoding, delimiter, start, lines_before, found.caution, not mark and head.isascii())


def _encoding(head: bytes) -> Encoding:
    if b"\0" in head:
        for whole in (head, head[:-2]):  # the last character may be cut
            with suppress(UnknownEncoding):
                if (found := encoding_of(whole)).codec.startswith("utf-16"):
                    return found
    try:
        getincrementaldecoder("utf-8")().decode(head, final=len(head) < _HEAD_BYTES)
    except UnicodeDecodeError:
        lines = head[: head.rfind(b"\n") + 1]
        try:
            found = encoding_of(head if lines.isascii() else lines)
            return replace(found, codec=found.codec.replace("_", "-"))
        except UnknownEncoding as error:
            raise CsvError(str(error)) from None
    return Encoding("utf-8")


def _sniffed(text: str, columns: Sequence[str], is_cut: bool) -> str:
    """The delimiter by which a header has several columns (those that are known), and most records have as many.

    Raises:
        CsvError: when two do equally well.
    """
    fitting: dict[str, float] = {}
    named: dict[str, float] = {}
    for delimiter in DELIMITERS:
        records = _first_records(text, delimiter)
        if is_cut and 1 < len(records) < _SNIFFED_RECORDS:
            records.pop()
        width = len(records[0]) if records else 0
        if width > 1:
            fitting[delimiter] = sum(len(record) == width for record in records) / len(records)
            if columns and {name.strip() for name in records[0]}.issuperset(columns):
                named[delimiter] = fitting[delimiter]
    found = named or fitting
    if not found:
        return ","  # of a single column
    best = [delimiter for delimiter, share in found.items() if share == max(found.values())]
    if len(best) > 1:
        raise CsvError(f"its delimiter cannot be told: {' or '.join(map(repr, best))}")
    return best[0]


def _says_anything(values: Sequence[str]) -> bool:
    return any(value.strip() for value in values)


def _first_records(text: str, delimiter: str) -> list[list[str]]:
    records: list[list[str]] = []
    try:
        for record in csv.reader(io.StringIO(text, newline=""), delimiter=delimiter):
            if _says_anything(record):
                records.append(record)
            if len(records) == _SNIFFED_RECORDS:
                break
    except csv.Error:
        pass  # whoever reads it to there is told
    return records
