"""An index: one collection of chunks, and what can be done with it.

In: chunks as Arrow tables, query vectors, names of documents. Out: passages, and what the index holds of each document.
An index remembers the embedding model that made its vectors and takes no other. It knows neither how chunks or vectors
are made nor what store keeps them.
"""

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import pyarrow as pa

from plait.errors import CollectionNotFound, Conflict, InvalidInput, did_you_mean
from plait.index import document_state, generations, properties, words
from plait.index.conditions import And, Condition, Equals, Field, Not, Or, one_of_each
from plait.index.document_state import DocumentState, DocumentVersion
from plait.index.freshness import Freshness
from plait.index.neighbours import chunks_around
from plait.index.passage import Passage
from plait.index.properties import IndexProperties
from plait.index.quarantine import Quarantine
from plait.index.rows import HIT_FIELDS, PASSAGE_FIELDS, hit_of, passage_of, rows_of
from plait.index.sample import texts_at_random
from plait.index.schema import MAX_CHUNK_ID_BYTES, chunk_schema
from plait.index.search import MAX_TOP_K, Hit, Mode, Search
from plait.index.stats import IndexStats, stats_of
from plait.index.stores.store import DENSE, Row, Store, StoreCollection
from plait.models.vectors import NO_PROMPTS, Prompts, VectorKind, Vectors
from plait.recipes import Chunking

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ChunkVectors:
    """Chunks and their vectors: float32 [n, dimension]."""

    chunk_ids: list[str]
    vectors: Vectors


class Index:
    """An open index. Made by `open` or `open_or_create`.

    It stays with the generation that it opened, so its vectors and its model always fit. After a rebuild that one is
    dropped, and calls raise CollectionNotFound: open the index again.

    Attributes:
        name: the index's, which mostly is an alias of its collection.
        vectors: the kind of its vectors.
        has_bm25: it can be searched by words.
        has_current_words: its words are those that questions are searched for by.
        dense_weight: what hybrid search was fitted to; None: reciprocal ranks.
        chunking: what its documents are cut by.
    """

    def __init__(self, store: Store, name: str, collection: StoreCollection, notes: IndexProperties) -> None:
        self._store = store
        self._collection = collection
        self.name = name
        self.vectors = VectorKind(notes.embedding_model, collection.dimension, notes.prompts)
        self.has_bm25 = collection.has_bm25
        self._has_words = "words" in collection.fields
        self.has_current_words = not self._has_words or notes.words_version == words.VERSION
        self.dense_weight = notes.dense_weight
        self.chunking = notes.chunking

    @property
    def embedding_model(self) -> str:
        """Source of the model that made the vectors."""
        return self.vectors.model

    @property
    def dimension(self) -> int:
        """Length of the vectors."""
        return self.vectors.dimension

    @classmethod
    def open(cls, name: str, store: Store, generation: int | None = None) -> Self:
        """Open an index.

        Args:
            name: the index.
            store: the one that has it.
            generation: which one, finished or not; None: the one that the name stands for.

        Raises:
            CollectionNotFound: with the nearest names there are.
            Conflict: when the collection was not made by Plait.
            Unavailable: when the store does not answer.
        """
        index = cls._find(store, name, generation)
        if index is None:
            raise CollectionNotFound(
                f"There is no collection '{name}'.",
                did_you_mean(name, generations.index_names(store)) or "Make one: plait ingest FOLDER collection=NAME",
            )
        return index

    @classmethod
    def open_or_create(
        cls,
        name: str,
        store: Store,
        *,
        embedding_model: str,
        dimension: int,
        prompts: Prompts = NO_PROMPTS,
        chunking: Chunking = Chunking(),
        generation: int | None = None,
    ) -> Self:
        """Open an index, or create it for the vectors of an embedding model. Safe to call at once from two sides.

        A new one keeps `chunking`; one that is there has its own.
        With a `generation` it is that one, and the name does not stand for it before `make_current`.

        Raises:
            Conflict: when it exists with vectors of another kind, or was not made by Plait.
            Unavailable: when the store does not answer.
        """
        vectors = VectorKind(embedding_model, dimension, prompts)
        found = cls._find(store, name, generation)
        index = found or cls._create(store, name, generation or 1, vectors, chunking)
        index.check_vectors(vectors)  # of one just created too: another run may have made it meanwhile
        if found is None and generation is None:
            index.make_current()
        return index

    @classmethod
    def _find(cls, store: Store, name: str, generation: int | None = None) -> Self | None:
        if generation is None:
            collection_name = store.collection_of(name)
        else:
            collection_name = generations.collection_of(name, generation)
        collection = store.open(collection_name) if collection_name is not None else None
        return cls._of(store, name, collection) if collection is not None else None

    @classmethod
    def _of(cls, store: Store, name: str, collection: StoreCollection) -> Self:
        notes = IndexProperties.read(collection.properties())
        if notes is None:
            raise Conflict(f"Collection '{collection.name}' was not made by Plait.", "Choose another name for yours.")
        collection.load()
        return cls(store, name, collection, notes)

    @classmethod
    def _create(cls, store: Store, name: str, generation: int, vectors: VectorKind, chunking: Chunking) -> Self:
        has_words = "bm25" in store.capabilities
        if not has_words:
            _log.warning(
                "%s has no BM25: collection '%s' can be searched by vectors only; bm25 and hybrid search need "
                "Milvus 2.5.",
                store.product,
                name,
            )
        notes = IndexProperties(vectors.model, vectors.prompts, words.VERSION, chunking)
        collection = store.create(
            generations.collection_of(name, generation),
            chunk_schema(vectors.dimension, has_words),
            notes.of_new(),
        )
        return cls._of(store, name, collection)

    # ------------------------------------------------------------ generations

    @property
    def generation(self) -> int:
        """Which generation of the index this is; a rebuild makes the next.

        Raises:
            Conflict: when the name is no alias, so that the index cannot be rebuilt.
        """
        return generations.generation_of(self._collection.name)

    @property
    def generation_if_any(self) -> int | None:
        """The same; None where the name is no alias."""
        try:
            return self.generation
        except Conflict:
            return None

    def make_current(self) -> None:
        """Let the index's name stand for this generation, in one step."""
        self._store.point(self.name, self._collection.name)

    def drop_generation(self) -> None:
        """Delete this generation, which the name does not stand for."""
        self._store.drop(self._collection.name)

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
                f"{self._store.product} has no BM25, so collection '{self.name}' cannot be searched by {mode}.",
                "Use mode: dense, or ingest into Milvus 2.5 or newer.",
            )

    # ------------------------------------------------------------ write

    def upsert(self, chunks: pa.Table) -> None:
        """Write chunks, each over the one with its id. Columns: CHUNK_SCHEMA and `dense`, list<float32>[dimension].

        Raises:
            Conflict: when the collection is of an earlier version of Plait.
            DataError: when the store refuses a value among them; then none may be written.
            Unavailable: when it does not answer.
        """
        self.check_words()
        rows = rows_of(chunks, self.dimension, self._has_words)
        if rows:
            self._collection.upsert(rows)

    def delete_stale(self, tenant: str, source: str, keep: DocumentVersion) -> None:
        """Delete the chunks of a document that belong to another version than `keep`."""
        kept = (Equals(Field("content_hash"), keep.content_hash), Equals(Field("chunk_count"), keep.chunk_count))
        self._collection.delete(And((_of(tenant), Equals(Field("source"), source), Or(tuple(map(Not, kept))))))

    def delete_documents(self, tenant: str, sources: Iterable[str]) -> None:
        """Delete all chunks of some documents."""
        for some in one_of_each(Field("source"), sources):
            self._collection.delete(And((_of(tenant), some)))

    def flush(self) -> None:
        """Let the store index what was written; call it after a bulk of writes.

        The embedded server looks through unflushed rows one by one: with 30,000 chunks a search took 1.0 s before and
        0.04 s after, the state of 50 documents 3.5 s and 0.3 s. A Milvus server limits how often it may be called.
        """
        self._collection.flush()

    @property
    def is_slow_before_flush(self) -> bool:
        """It is to be flushed within a bulk of writes, too."""
        return "indexes_as_written" not in self._store.capabilities

    def drop(self) -> None:
        """Delete the index: everything in it, its quarantine, and what an interrupted rebuild left."""
        unfinished = None
        if self._collection.name != self.name:
            unfinished = self._find(self._store, self.name, self.generation + 1)
            self._store.drop_alias(self.name)  # a store drops nothing that has an alias
        for index in (self, unfinished):
            if index is not None:
                index.drop_generation()
        Quarantine(self._store, self.name).clear()

    # ------------------------------------------------------------ read

    def document_states(self, tenant: str, sources: Iterable[str] | None = None) -> dict[str, DocumentState]:
        """What the index holds, by document: of these `sources`, or of all that the tenant has.

        Sees everything written before the call (strong consistency).
        """
        return document_state.document_states(self._collection, tenant, sources)

    def search(self, how: Search, texts: Sequence[str] = (), vectors: Vectors | None = None) -> list[list[Hit]]:
        """The hits for each question, best first.

        Args:
            how: what to search by, in whose documents, and how many hits to return.
            texts: the questions; needed for BM25 and hybrid search.
            vectors: their vectors, float32 [n, dimension], unit length; needed for dense and hybrid search.

        Raises:
            InvalidInput: when `how` or the shape of `vectors` is wrong.
            CollectionNotFound: when the index was rebuilt or dropped; open it again.
            Unavailable: when the store does not answer.
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
        if not 1 <= how.top_k <= MAX_TOP_K:
            raise InvalidInput(f"top_k is {how.top_k}.", f"Use 1 to {MAX_TOP_K}.")
        analyzed = [words.analyzed(text) for text in texts] if how.mode != "dense" else []
        found = self._collection.search(how, HIT_FIELDS, analyzed, vectors)
        return [
            [hit_of(row, how, None if vectors is None else vectors[number], self.name) for row in rows]
            for number, rows in enumerate(found)
        ]

    def passage(self, chunk_id: str, tenant: str) -> Passage | None:
        """One chunk of a tenant, with the score 0; None: there is none of this id."""
        if len(chunk_id) > MAX_CHUNK_ID_BYTES or not chunk_id.isprintable():
            return None
        where = And((_of(tenant), Equals(Field("chunk_id"), chunk_id)))
        for row in self._collection.scan(where, PASSAGE_FIELDS):
            return passage_of(row)
        return None

    def document(self, tenant: str, source: str) -> list[Passage]:
        """The chunks of a document, in its order, with the score 0; none where the tenant has no such document."""
        where = And((_of(tenant), Equals(Field("source"), source)))
        return sorted(map(passage_of, self._collection.scan(where, PASSAGE_FIELDS)), key=lambda chunk: chunk.start)

    def around(self, passages: Sequence[Passage], reach: int, tenant: str) -> dict[str, list[Passage]]:
        """By `chunk_id` of each passage, the chunks at most `reach` before and after it, itself among them."""
        return chunks_around(self._collection, tenant, passages, reach)

    def first_chunks(self, tenant: str, sources: Iterable[str]) -> ChunkVectors:
        """The first chunk of each of some documents, with its vector."""
        rows: list[Row] = []
        for some in one_of_each(Field("source"), sources):
            where = And((_of(tenant), some, Equals(Field("position"), 0)))
            rows += self._collection.scan(where, ["chunk_id", DENSE])
        vectors = np.array([row[DENSE] for row in rows], np.float32).reshape(-1, self.dimension)
        return ChunkVectors([row["chunk_id"] for row in rows], vectors)

    def stats(self) -> IndexStats:
        """Count chunks, and documents by tenant. Reads the names of all chunks."""
        return stats_of(self._collection, self.name, self.vectors)

    def texts_at_random(self, tenant: str, count: int) -> dict[str, str]:
        """Texts of a chunk each of so many documents, or of all, by the documents' names; the same ones each time."""
        return texts_at_random(self._collection, tenant, count)

    def in_step_at(self) -> float | None:
        """When it last held what its sources did, in seconds since 1970, as noted now; None: no run has ended yet."""
        notes = IndexProperties.read(self._collection.properties())
        return notes.in_step_at if notes else None

    def note_in_step(self, at_s: float) -> None:
        """Remember that it held what its sources did at a time, in seconds since 1970."""
        self._collection.set_property(properties.IN_STEP, f"{at_s:.3f}")

    def note_freshness(self, freshness: Freshness) -> None:
        """Remember how fresh the last run's documents were."""
        self._collection.set_property(properties.FRESHNESS, freshness.to_json())

    def note_chunking(self, chunking: Chunking) -> None:
        """Remember what its documents are cut by from now on."""
        self._collection.set_property(properties.CHUNKING, chunking.model_dump_json())
        self.chunking = chunking

    def note_dense_weight(self, weight: float | None) -> None:
        """Remember what hybrid search is to be fused with; None: reciprocal ranks."""
        self._collection.set_property(properties.DENSE_WEIGHT, "" if weight is None else str(weight))
        self.dense_weight = weight


def _of(tenant: str) -> Condition:
    return Equals(Field("tenant"), tenant)


def list_collections(store: Store) -> list[str]:
    """Names of the collections that Plait made, in order.

    Raises:
        Unavailable: when the store does not answer.
    """
    return generations.index_names(store)
