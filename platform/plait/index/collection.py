"""An index: one Milvus collection of chunks, and what can be done with it.

In: chunks as Arrow tables, query vectors, names of documents. Out: passages, and what the index holds of each document.
A collection remembers the embedding model that made its vectors and takes no other. It does not know how chunks or
vectors are made.
"""

import json
import logging
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import pyarrow as pa

from plait.documents.chunk import text_to_embed
from plait.errors import (
    CollectionNotFound,
    Conflict,
    DataError,
    InvalidInput,
    PlaitError,
    Unavailable,
    did_you_mean,
)
from plait.index import alias, words
from plait.index.conditions import EVERY_ROW, And, Condition, Equals, Field, Not, Or, one_of_each
from plait.index.connection import Milvus
from plait.index.document_state import DocumentState, DocumentVersion
from plait.index.freshness import Freshness
from plait.index.neighbours import PASSAGE_FIELDS, chunks_around
from plait.index.passage import Passage
from plait.index.quarantine import Quarantine
from plait.index.sample import texts_at_random
from plait.index.schema import (
    DENSE_WEIGHT_PROPERTY,
    EMBEDDING_PROPERTY,
    FRESHNESS_PROPERTY,
    MAX_CHUNK_ID_BYTES,
    MAX_TEXT_BYTES,
    PASSAGE_PROMPT_PROPERTY,
    QUERY_PROMPT_PROPERTY,
    WORDS_PROPERTY,
    collection_indexes,
    collection_schema,
)
from plait.index.search import Hit, Mode, Search, Vectors, search
from plait.index.stores.milvus.expression import expression
from plait.models.vectors import NO_PROMPTS, Prompts, VectorKind
from plait.settings import settings

_log = logging.getLogger(__name__)
_FLUSH_TIMEOUT_S = 120.0  # it waits until the index is built
_REASON_CHARACTERS = 300


@dataclass(frozen=True)
class ChunkVectors:
    """Chunks and their vectors: float32 [n, dimension]."""

    chunk_ids: list[str]
    vectors: Vectors


@dataclass(frozen=True)
class IndexStats:
    """What a collection holds, over all tenants."""

    name: str
    vectors: VectorKind
    chunk_count: int
    documents_by_tenant: dict[str, int]
    freshness: Freshness | None
    """Of the last run that wrote documents which had changed; None before."""


class Index:
    """An open index. Made by `open` or `open_or_create`.

    It stays with the generation that it opened, so its vectors and its model always fit. After a rebuild that one is
    dropped, and calls raise CollectionNotFound: open the index again.

    Attributes:
        name: the index's; in Milvus the alias of its collection.
        vectors: the kind of its vectors.
        has_bm25: it can be searched by words; on Milvus before 2.5 it cannot.
        has_current_words: its words are those that questions are searched for by.
        dense_weight: what hybrid search was fitted to; None: reciprocal ranks.
    """

    def __init__(
        self,
        milvus: Milvus,
        name: str,
        collection: str,
        vectors: VectorKind,
        fields: frozenset[str],
        dense_weight: float | None = None,
        words_version: str | None = words.VERSION,
    ) -> None:
        self._milvus = milvus
        self._collection = collection
        self.name = name
        self.vectors = vectors
        self.has_bm25 = "sparse" in fields
        self._has_words = "words" in fields
        self.has_current_words = not self._has_words or words_version == words.VERSION
        self.dense_weight = dense_weight

    @property
    def embedding_model(self) -> str:
        """Source of the model that made the vectors."""
        return self.vectors.model

    @property
    def dimension(self) -> int:
        """Length of the vectors."""
        return self.vectors.dimension

    @classmethod
    def open(cls, name: str, uri: str | None = None, token: str | None = None, generation: int | None = None) -> Self:
        """Open an index.

        Args:
            name: the index.
            uri: the Milvus server; None: the one of this installation.
            token: its token; None: that of the settings.
            generation: which one, finished or not; None: the one that the name stands for.

        Raises:
            CollectionNotFound: with the nearest names there are.
            Conflict: when the collection was not made by Plait.
            Unavailable: when Milvus does not answer.
        """
        milvus = Milvus.connect(uri, token)
        index = cls._find(milvus, name, generation)
        if index is None:
            raise CollectionNotFound(
                f"There is no collection '{name}'.",
                did_you_mean(name, _collection_names(milvus)) or "Make one: plait ingest FOLDER collection=NAME",
            )
        return index

    @classmethod
    def open_or_create(
        cls,
        name: str,
        *,
        embedding_model: str,
        dimension: int,
        prompts: Prompts = NO_PROMPTS,
        uri: str | None = None,
        token: str | None = None,
        generation: int | None = None,
    ) -> Self:
        """Open an index, or create it for the vectors of an embedding model. Safe to call at once from two sides.

        With a `generation` it is that one, and the name does not stand for it before `make_current`.

        Raises:
            Conflict: when it exists with vectors of another kind, or was not made by Plait.
            Unavailable: when Milvus does not answer.
        """
        milvus = Milvus.connect(uri, token)
        vectors = VectorKind(embedding_model, dimension, prompts)
        found = cls._find(milvus, name, generation)
        index = found or cls._create(milvus, name, generation or 1, vectors)
        index.check_vectors(vectors)  # of one just created too: another run may have made it meanwhile
        if found is None and generation is None:
            index.make_current()
        return index

    @classmethod
    def _find(cls, milvus: Milvus, name: str, generation: int | None = None) -> Self | None:
        if generation is None:
            collection = alias.current_collection(milvus, name)
        else:
            collection = alias.collection_of(name, generation)
        if collection is None:
            return None
        with milvus.answering(f"describe collection '{collection}'") as client:
            if not client.has_collection(collection, timeout=settings().milvus_timeout_s):
                return None
            about = client.describe_collection(collection, timeout=settings().milvus_timeout_s)
        properties = about.get("properties", {})
        embedding_model = properties.get(EMBEDDING_PROPERTY)
        if embedding_model is None:
            raise Conflict(f"Collection '{collection}' was not made by Plait.", "Choose another name for yours.")
        dense = next(field for field in about["fields"] if field["name"] == "dense")
        with milvus.answering(f"load collection '{collection}'") as client:
            # A server that was restarted holds no collection in memory until it is told to.
            client.load_collection(collection, timeout=settings().milvus_timeout_s)
        prompts = Prompts(properties.get(QUERY_PROMPT_PROPERTY, ""), properties.get(PASSAGE_PROMPT_PROPERTY, ""))
        vectors = VectorKind(embedding_model, int(dense["params"]["dim"]), prompts)
        fields = frozenset(field["name"] for field in about["fields"])
        fitted = properties.get(DENSE_WEIGHT_PROPERTY)
        dense_weight = float(fitted) if fitted else None
        return cls(milvus, name, collection, vectors, fields, dense_weight, properties.get(WORDS_PROPERTY))

    @classmethod
    def _create(cls, milvus: Milvus, name: str, generation: int, vectors: VectorKind) -> Self:
        from pymilvus.exceptions import MilvusException

        if milvus.is_before_2_5:
            _log.warning(
                "Milvus %s has no BM25: collection '%s' can be searched by vectors only; bm25 and hybrid search need "
                "Milvus 2.5.",
                milvus.version,
                name,
            )
        collection = alias.collection_of(name, generation)
        schema = collection_schema(vectors.dimension, milvus.is_before_2_5)
        with milvus.answering(f"create collection '{collection}'") as client:
            try:
                client.create_collection(
                    collection,
                    schema=schema,
                    index_params=collection_indexes(client, milvus.is_before_2_5),
                    properties={
                        EMBEDDING_PROPERTY: vectors.model,
                        QUERY_PROMPT_PROPERTY: vectors.prompts.query,
                        PASSAGE_PROMPT_PROPERTY: vectors.prompts.passage,
                        WORDS_PROPERTY: words.VERSION,
                    },
                    timeout=settings().milvus_timeout_s,
                )
            except MilvusException:
                created_meanwhile = cls._find(milvus, name, generation)
                if created_meanwhile is None:
                    raise
                return created_meanwhile
        return cls(milvus, name, collection, vectors, frozenset(field.name for field in schema.fields))

    # ------------------------------------------------------------ generations

    @property
    def generation(self) -> int:
        """Which generation of the index this is; a rebuild makes the next.

        Raises:
            Conflict: when the name is no alias, so that the index cannot be rebuilt.
        """
        return alias.generation_of(self._collection)

    def make_current(self) -> None:
        """Let the index's name stand for this generation, in one step."""
        alias.point(self._milvus, self.name, self._collection)

    def drop_generation(self) -> None:
        """Delete this generation, which the name does not stand for."""
        with self._milvus.answering(f"drop '{self._collection}'") as client:
            client.drop_collection(self._collection, timeout=settings().milvus_timeout_s)

    def check_vectors(self, vectors: VectorKind) -> None:
        """Vectors of two kinds do not compare.

        Raises:
            Conflict: when the collection's are of another kind.
        """
        if self.vectors != vectors:
            raise Conflict(
                f"Collection '{self.name}' was made with {self.vectors}, not with {vectors}.",
                "Embed the same way, use another collection, or make this one anew: plait ingest … --rebuild",
            )

    def check_words(self) -> None:
        """Words that were written in another form are not found by those of a question.

        Raises:
            Conflict: when the collection's are of an earlier version of Plait.
        """
        if not self.has_current_words:
            raise Conflict(
                f"An earlier version of Plait indexed the words of collection '{self.name}', and this one looks for "
                "them in another form.",
                "Make it anew: plait ingest … --rebuild",
            )

    def check_mode(self, mode: Mode) -> None:
        """Not every server can search in every way, nor every collection.

        Raises:
            InvalidInput: when this server cannot.
            Conflict: when the collection is of an earlier version of Plait.
        """
        if mode != "dense":
            self.check_words()
        if mode != "dense" and not self.has_bm25:
            raise InvalidInput(
                f"Milvus {self._milvus.version} has no BM25, so collection '{self.name}' cannot be searched by {mode}.",
                "Use mode: dense, or ingest into Milvus 2.5 or newer.",
            )

    # ------------------------------------------------------------ write

    def upsert(self, chunks: pa.Table) -> None:
        """Write chunks, each over the one with its id. Columns: CHUNK_SCHEMA and `dense`, list<float32>[dimension].

        Raises:
            Conflict: when the collection is of an earlier version of Plait.
            DataError: when Milvus refuses a value among them; then none may be written.
            Unavailable: when it does not answer.
        """
        self.check_words()
        dense = np.asarray(chunks["dense"].combine_chunks().flatten()).reshape(-1, self.dimension)
        rows = chunks.drop_columns(["dense"]).to_pylist()
        for row, vector in zip(rows, dense, strict=True):
            # One form for values, as for names, so that filters find what looks alike.
            row["metadata"] = json.loads(unicodedata.normalize("NFC", row["metadata"]))
            row["dense"] = vector
            if self._has_words:
                text = text_to_embed(row["title"], row["heading"], row["text"])
                row["words"] = words.within(MAX_TEXT_BYTES, words.analyzed(text))
        if not rows:
            return
        try:
            with self._milvus.answering(f"write to '{self.name}'") as client:
                client.upsert(self._collection, rows, timeout=settings().milvus_timeout_s)
        except (CollectionNotFound, Unavailable):
            raise
        except (PlaitError, ValueError, TypeError, OverflowError, RecursionError) as error:
            # The client encodes values, and fails at some by errors of Python's.
            reason = " ".join(str(error).split())[:_REASON_CHARACTERS].rstrip(".")
            raise DataError(f"The index refuses a value ({reason}).") from error

    def delete_stale(self, tenant: str, source: str, keep: DocumentVersion) -> None:
        """Delete the chunks of a document that belong to another version than `keep`."""
        kept = (Equals(Field("content_hash"), keep.content_hash), Equals(Field("chunk_count"), keep.chunk_count))
        self._delete(And((_of(tenant), Equals(Field("source"), source), Or(tuple(map(Not, kept))))))

    def delete_documents(self, tenant: str, sources: Iterable[str]) -> None:
        """Delete all chunks of some documents."""
        for some in one_of_each(Field("source"), sources):
            self._delete(And((_of(tenant), some)))

    def _delete(self, condition: Condition) -> None:
        with self._milvus.answering(f"delete from '{self.name}'") as client:
            client.delete(self._collection, filter=expression(condition), timeout=settings().milvus_timeout_s)

    def flush(self) -> None:
        """Let Milvus index what was written; call it after a bulk of writes.

        The embedded server looks through unflushed rows one by one: with 30,000 chunks a search took 1.0 s before and
        0.04 s after, the state of 50 documents 3.5 s and 0.3 s. A Milvus server limits how often it may be called.
        """
        with self._milvus.answering(f"flush '{self.name}'") as client:
            client.flush(self._collection, timeout=_FLUSH_TIMEOUT_S)

    @property
    def is_embedded(self) -> bool:
        """The server is the embedded one, Milvus Lite."""
        return self._milvus.is_embedded

    def drop(self) -> None:
        """Delete the index: everything in it, its quarantine, and what an interrupted rebuild left."""
        unfinished = None
        if self._collection != self.name:
            unfinished = self._find(self._milvus, self.name, self.generation + 1)
            with self._milvus.answering(f"drop '{self.name}'") as client:  # a server drops nothing that has an alias
                client.drop_alias(self.name, timeout=settings().milvus_timeout_s)
        for index in (self, unfinished):
            if index is not None:
                index.drop_generation()
        Quarantine(self._milvus, self.name).clear()

    # ------------------------------------------------------------ read

    def document_states(self, tenant: str, sources: Iterable[str] | None = None) -> dict[str, DocumentState]:
        """What the index holds, by document: of these `sources`, or of all that the tenant has.

        Sees everything written before the call (strong consistency).
        """
        conditions = [EVERY_ROW] if sources is None else one_of_each(Field("source"), sources)
        counts: dict[str, Counter[DocumentVersion]] = defaultdict(Counter)
        for condition in conditions:
            for row in self._rows(And((_of(tenant), condition)), ["source", "content_hash", "chunk_count"]):
                counts[row["source"]][DocumentVersion(row["content_hash"], row["chunk_count"])] += 1
        return {source: DocumentState(dict(versions)) for source, versions in counts.items()}

    def search(self, how: Search, texts: Sequence[str] = (), vectors: Vectors | None = None) -> list[list[Hit]]:
        """The hits for each question, best first.

        Args:
            how: what to search by, in whose documents, and how many hits to return.
            texts: the questions; needed for BM25 and hybrid search.
            vectors: their vectors, float32 [n, dimension], unit length; needed for dense and hybrid search.

        Raises:
            InvalidInput: when `how` or the shape of `vectors` is wrong.
            CollectionNotFound: when the index was rebuilt or dropped; open it again.
            Unavailable: when Milvus does not answer.
        """
        self.check_mode(how.mode)
        if how.mode == "bm25":
            vectors = None
        elif vectors is None or vectors.ndim != 2 or vectors.shape[1] != self.dimension:
            raise InvalidInput(
                f"The query vectors have the shape {None if vectors is None else vectors.shape}, collection "
                f"'{self.name}' needs (n, {self.dimension})."
            )
        if how.mode == "hybrid" and how.dense_weight is None:
            how = replace(how, dense_weight=self.dense_weight)
        return search(self._milvus, self._collection, how, texts, vectors)

    def passage(self, chunk_id: str, tenant: str) -> Passage | None:
        """One chunk of a tenant, with the score 0; None: there is none of this id."""
        if len(chunk_id) > MAX_CHUNK_ID_BYTES or not chunk_id.isprintable():
            return None
        for row in self._rows(And((_of(tenant), Equals(Field("chunk_id"), chunk_id))), PASSAGE_FIELDS):
            return Passage(**{name: row[name] for name in PASSAGE_FIELDS}, score=0.0)
        return None

    def around(self, passages: Sequence[Passage], reach: int, tenant: str = "default") -> dict[str, list[Passage]]:
        """By `chunk_id` of each passage, the chunks at most `reach` before and after it, itself among them."""
        return chunks_around(self._milvus, self._collection, tenant, passages, reach)

    def first_chunks(self, tenant: str, sources: Iterable[str]) -> ChunkVectors:
        """The first chunk of each of some documents, with its vector."""
        rows: list[dict[str, Any]] = []
        for some in one_of_each(Field("source"), sources):
            rows += self._rows(And((_of(tenant), some, Equals(Field("position"), 0))), ["chunk_id", "dense"])
        vectors = np.array([row["dense"] for row in rows], np.float32).reshape(-1, self.dimension)
        return ChunkVectors([row["chunk_id"] for row in rows], vectors)

    def stats(self) -> IndexStats:
        """Count chunks, and documents by tenant. Reads the names of all chunks."""
        documents: dict[str, set[str]] = defaultdict(set)
        chunk_count = 0
        for row in self._rows(EVERY_ROW, ["tenant", "source"]):
            documents[row["tenant"]].add(row["source"])
            chunk_count += 1
        by_tenant = {tenant: len(sources) for tenant, sources in sorted(documents.items())}
        return IndexStats(self.name, self.vectors, chunk_count, by_tenant, self._freshness())

    def texts_at_random(self, tenant: str, count: int) -> dict[str, str]:
        """Texts of a chunk each of so many documents, or of all, by the documents' names; the same ones each time."""
        return texts_at_random(self._milvus, self._collection, tenant, count)

    def note_freshness(self, freshness: Freshness) -> None:
        """Remember how fresh the last run's documents were."""
        self._note(FRESHNESS_PROPERTY, freshness.to_json())

    def note_dense_weight(self, weight: float | None) -> None:
        """Remember what hybrid search is to be fused with; None: reciprocal ranks."""
        self._note(DENSE_WEIGHT_PROPERTY, "" if weight is None else str(weight))
        self.dense_weight = weight

    def _note(self, name: str, value: str) -> None:
        with self._milvus.answering(f"note {name} of '{self.name}'") as client:
            client.alter_collection_properties(
                self._collection, properties={name: value}, timeout=settings().milvus_timeout_s
            )

    def _freshness(self) -> Freshness | None:
        with self._milvus.answering(f"describe collection '{self.name}'") as client:
            about = client.describe_collection(self._collection, timeout=settings().milvus_timeout_s)
        noted = about.get("properties", {}).get(FRESHNESS_PROPERTY)
        return Freshness.from_json(noted) if noted else None

    def _rows(self, condition: Condition, fields: Sequence[str]) -> Iterator[dict[str, Any]]:
        return self._milvus.rows(self._collection, expression(condition), fields)


def _of(tenant: str) -> Condition:
    return Equals(Field("tenant"), tenant)


def list_collections(uri: str | None = None, token: str | None = None) -> list[str]:
    """Names of the collections that Plait made, in order.

    Raises:
        Unavailable: when Milvus does not answer.
    """
    return _collection_names(Milvus.connect(uri, token))


def _collection_names(milvus: Milvus) -> list[str]:
    names = []
    with milvus.answering("list collections") as client:
        for name in client.list_collections(timeout=settings().milvus_timeout_s):
            about = client.describe_collection(name, timeout=settings().milvus_timeout_s)
            if EMBEDDING_PROPERTY in about.get("properties", {}):
                names += alias.index_names(milvus, name)
    return sorted(names)
