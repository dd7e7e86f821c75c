"""From a document to chunks: split where the text itself has its seams.

In: a `Document`. Out: chunks of at most so many tokens, each with its exact place in the text and the headings above
it. Where to cut says a splitter (split.py). It knows the embedding model's tokenizer, not the model.
"""

import hashlib
import json
import re
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

from semantic_text_splitter import TextSplitter
from tokenizers import Tokenizer

from plait.documents.chunk import Chunk, make_chunk_id
from plait.documents.formats import MARKDOWN, TEXT
from plait.documents.markdown_tables import MarkdownTable, TableCutter, columns_finder, find_tables
from plait.documents.parse import Document, Heading, shorten
from plait.documents.split import Span, Splitter, StructureSplitter, make_splitter, spans_within_lines
from plait.documents.table_columns import with_columns
from plait.errors import ModelNotFound
from plait.recipes import ChunkConfig

_VERSION = 4
"""Counts up when the same document and settings give other chunks than before, so that documents are chunked anew."""

# A tokenizer may take a long run of letters (base64, a hash) or of blanks for one token or none, and a chunk would grow
# without end. English has 4 to 5 characters a token; 16,000 characters always fit Milvus's 65,535 bytes.
_MAX_CHARS_PER_TOKEN = 16
_MAX_CHARS = 16_000
_WORD = re.compile(r"\S")

# The splitter leaves scraps where a heading or the fence of a code block does not fit with what follows: of the 1,342
# chunks of 191 README files, 84 had less than 40 characters, with this none of 1,275. A piece of less than an eighth
# of a chunk is put to its neighbour; the splitter is given seven eighths, so that the two fit together.
_SCRAP_SHARE = 8
_MAX_SCRAP_CHARS = 1_000


@dataclass(frozen=True)
class Origin:
    """Which version of which document chunks come from."""

    tenant: str
    source: str
    content_hash: str
    updated_at: int
    """Milliseconds since 1970, UTC."""


def settings_hash(config: ChunkConfig, embedding_model: str) -> str:
    """Hash of all settings that decide about chunks and their vectors."""
    key = json.dumps([_VERSION, config.model_dump(), embedding_model])
    return hashlib.sha256(key.encode()).hexdigest()


class Chunker:
    """Splits documents.

    Args:
        model_folder: folder of the embedding model, for its tokenizer.
        config: where to split; longest chunk and overlap, in tokens of that model.
        settings_hash: of `settings_hash()`; part of every chunk's id.

    Raises:
        ModelNotFound: when the folder holds no tokenizer.json.
    """

    def __init__(self, model_folder: Path, config: ChunkConfig, settings_hash: str) -> None:
        self._settings_hash = settings_hash
        self._tokenizer = _tokenizer(model_folder)
        self._scrap_tokens = config.max_tokens // _SCRAP_SHARE
        capacity = max(config.max_tokens - self._scrap_tokens, config.overlap_tokens + 1)
        self._splitter = make_splitter(config, self._tokenizer, capacity)
        self._max_tokens = config.max_tokens
        self._max_chars = min(_MAX_CHARS, _MAX_CHARS_PER_TOKEN * config.max_tokens)
        self._scrap_chars = min(_MAX_SCRAP_CHARS, self._max_chars // _SCRAP_SHARE)
        self._characters = TextSplitter(self._max_chars - self._scrap_chars)
        halves = StructureSplitter(self._tokenizer, max(1, capacity // 2), 0)
        self._tables = TableCutter(
            self._token_counts,
            capacity,
            self._max_chars - self._scrap_chars,
            lambda text: self._spans(halves, text, TEXT),
        )

    def chunk(self, document: Document, origin: Origin) -> list[Chunk]:
        """The chunks of a document, in order. `text[start:end]` of the document is each chunk's text."""
        tables = find_tables(document.text) if document.syntax == MARKDOWN else []
        pieces = self._pieces(document, tables)
        heading_at = heading_finder(document)
        columns_in = columns_finder(tables)
        return [
            Chunk(
                chunk_id=make_chunk_id(origin.tenant, origin.source, position, text, self._settings_hash),
                source=origin.source,
                title=document.title,
                heading=with_columns(heading_at(start), columns_in((start, start + len(text)))),
                text=text,
                position=position,
                start=start,
                end=start + len(text),
                chunk_count=len(pieces),
                content_hash=origin.content_hash,
                updated_at=origin.updated_at,
                tenant=origin.tenant,
                metadata=document.metadata,
            )
            for position, (start, text) in enumerate(pieces)
        ]

    def _pieces(self, document: Document, tables: Sequence[MarkdownTable]) -> list[tuple[int, str]]:
        """Where each chunk starts, and its text."""
        spans = self._without_scraps(document, self._spans(self._splitter, document.text, document.syntax))
        return [(start, document.text[start:end]) for start, end in self._tables.spans(document.text, tables, spans)]

    def _spans(self, splitter: Splitter, text: str, syntax: str) -> list[Span]:
        return [
            (start + offset, start + offset + len(part))
            for start, end in spans_within_lines(splitter, text, syntax)
            for offset, part in self._characters.chunk_indices(text[start:end])
        ]

    def _without_scraps(self, document: Document, spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
        """The spans, with scraps put before what follows in their section, or else behind what precedes."""
        section_starts = {heading.start for heading in document.headings}
        joined: list[tuple[int, int]] = []
        waiting: int | None = None
        for (start, end), following in zip_longest(spans, spans[1:]):
            first = start if waiting is None else waiting
            waiting = None
            is_heading = first in section_starts
            if not self._is_scrap(document.text[first:end]):
                joined.append((first, end))
            elif following and (is_heading or following[0] not in section_starts):
                waiting = first
            elif joined and not is_heading and self._fits(document.text[joined[-1][0] : end]):
                joined[-1] = joined[-1][0], end
            else:
                joined.append((first, end))
        return joined

    def _is_scrap(self, text: str) -> bool:
        return len(text) <= self._scrap_chars and self._token_count(text) < self._scrap_tokens

    def _fits(self, text: str) -> bool:
        return len(text) <= self._max_chars and self._token_count(text) <= self._max_tokens

    def _token_count(self, text: str) -> int:
        return len(self._tokenizer.encode(text, add_special_tokens=False).ids)

    def _token_counts(self, texts: Sequence[str]) -> list[int]:
        return [
            len(encoding.ids) for encoding in self._tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)
        ]


def heading_finder(document: Document) -> Callable[[int], str]:
    """What tells the headings above the first words from a place in the text that are no heading themselves.

    Outermost first, as `Install > From source`; the title is left out.
    """
    headings = document.headings
    starts = [heading.start for heading in headings]
    paths: list[tuple[Heading, ...]] = []  # those above the text below each heading; six at most
    for heading in headings:
        above = paths[-1] if paths else ()
        paths.append((*(other for other in above if other.level < heading.level), heading))

    # Where headings follow each other without text between them, the last one counts for all.
    last_of_run = list(range(len(headings)))
    for i in reversed(range(len(headings) - 1)):
        if not _WORD.search(document.text, headings[i].end, starts[i + 1]):
            last_of_run[i] = last_of_run[i + 1]

    def heading_at(start: int) -> str:
        following = bisect_right(starts, start)
        if following:
            start = max(start, headings[following - 1].end)
        if following < len(headings) and not _WORD.search(document.text, start, starts[following]):
            path = paths[last_of_run[following]]
        else:
            path = paths[following - 1] if following else ()
        return shorten(" > ".join(h.words for h in path if h.words and h.words != document.title))

    return heading_at


def _tokenizer(model_folder: Path) -> Tokenizer:
    # In some sentence-transformers folders the transformer is a module in a subfolder.
    for file in (model_folder / "tokenizer.json", *sorted(model_folder.glob("*/tokenizer.json"))):
        if file.is_file():
            tokenizer = Tokenizer.from_file(str(file))
            # Either would make every long text count as many tokens as the model takes.
            tokenizer.no_truncation()
            tokenizer.no_padding()
            return tokenizer
    raise ModelNotFound(
        f"'{model_folder}' holds no tokenizer.json.", "Choose an embedding model with a fast tokenizer."
    )
