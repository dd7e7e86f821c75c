"""The port to stores: servers that keep collections of rows and search them.

`Store` is a server, `StoreCollection` one of its collections. Rows are mappings of field names to values; conditions
say which are meant. A store knows neither documents nor how vectors are made, and it keeps tenants apart below the
conditions. Every store passes tests/contract/test_store_contract.py.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from plait.index.conditions import Condition
from plait.index.search import Search
from plait.models.vectors import Vectors

Row = dict[str, Any]
Capability = Literal["bm25", "indexes_as_written", "many_writers"]
"""`bm25`: it searches by words too. `indexes_as_written`: rows are found fast before a flush, too; other stores look
through them one by one. `many_writers`: it takes one for each collection and tenant; other stores take one in all."""

DENSE, WORDS = "dense", "words"
"""The fields with the vector, float32 [dimension], and with the words that BM25 counts."""


@dataclass(frozen=True)
class Schema:
    """The fields of a collection.

    Attributes:
        key: the text field that no two rows have alike; an upsert replaces by it.
        texts: all text fields, with the bytes that each may have.
        numbers: the fields of 64-bit integers.
        json: the fields of JSON objects.
        tenant: the text field by which rows are kept apart.
        dimension: of `dense`; None: rows have no vectors.
        words_bytes: the bytes that `words` may have; None: rows have none.
    """

    key: str
    texts: Mapping[str, int]
    numbers: Sequence[str]
    json: Sequence[str] = ()
    tenant: str = "tenant"
    dimension: int | None = None
    words_bytes: int | None = None


@dataclass(frozen=True)
class Found:
    """A row that a search found. `vector`: where the search asks for it, or is hybrid: float32 [dimension].

    `score` is the cosine in a dense search and BM25's score in a search by words. In a hybrid one it only orders.
    """

    row: Row
    score: float
    vector: Vectors | None = field(default=None, compare=False)


class StoreCollection(Protocol):
    """A collection that is open. Every call raises CollectionNotFound once it is dropped, and Unavailable when the
    store does not answer."""

    @property
    def name(self) -> str:
        """Its own name, no alias."""

    @property
    def fields(self) -> frozenset[str]:
        """The fields that rows have."""

    @property
    def dimension(self) -> int:
        """Of `dense`; 0 where rows have no vectors."""

    @property
    def has_bm25(self) -> bool:
        """It can be searched by words."""

    def properties(self) -> Mapping[str, str]:
        """What was noted about the collection, as it is now."""

    def set_property(self, name: str, value: str) -> None:
        """Note something about the collection."""

    def load(self) -> None:
        """Let the store keep the collection where it can be read; call it once, before anything is read or written.

        A server that was restarted may have none in memory.
        """

    def upsert(self, rows: Sequence[Row]) -> None:
        """Write rows, each over the one with its key. It may add fields of its own to them.

        Raises:
            DataError: when the store refuses a value among them; then none may be written.
        """

    def delete(self, where: Condition) -> None:
        """Delete the rows that meet a condition."""

    def scan(self, where: Condition, fields: Sequence[str]) -> Iterator[Row]:
        """Read all rows that meet a condition, as everything written before the call left them."""

    def look_up(self, where: Condition, fields: Sequence[str]) -> list[Row]:
        """Read a few rows in a single round trip. What was written just before may be missing."""

    def search(
        self, how: Search, fields: Sequence[str], words: Sequence[str], vectors: Vectors | None
    ) -> list[list[Found]]:
        """Find rows of the tenant `how.tenant` that meet `how.condition`, best first, for each of some questions.

        Args:
            how: what to search by, and how many rows to return.
            fields: what to return of rows.
            words: of the questions, in the form that `words` has; for BM25 and hybrid search.
            vectors: of the questions, float32 [n, dimension], unit length; for dense and hybrid search.

        Raises:
            InvalidInput: when the store refuses the condition.
        """

    def flush(self) -> None:
        """Let the store index what was written; call it after a bulk of writes."""


class Store(Protocol):
    """A server of collections. It can be pickled: a process that it is sent to connects for itself."""

    @property
    def address(self) -> str:
        """Where it is."""

    @property
    def product(self) -> str:
        """What it is, with its version."""

    @property
    def capabilities(self) -> frozenset[Capability]:
        """What tells it from other stores."""

    def check_answers(self, timeout_s: float) -> None:
        """Ask for something that costs nothing.

        Raises:
            Unavailable: when it does not answer; its connection may be tried for longer than `timeout_s`.
        """

    def open(self, collection: str) -> StoreCollection | None:
        """Open a collection; None when there is none of this name."""

    def create(self, collection: str, schema: Schema, properties: Mapping[str, str]) -> StoreCollection:
        """Create a collection, or open the one that somebody else has created meanwhile."""

    def drop(self, collection: str) -> None:
        """Delete a collection that no alias names."""

    def collections(self) -> dict[str, Mapping[str, str]]:
        """The properties of all collections, by their names."""

    def collection_of(self, name: str) -> str | None:
        """The collection that has this name or this alias; None when there is none."""

    def aliases(self, collection: str) -> list[str]:
        """The aliases of a collection."""

    def point(self, alias: str, collection: str) -> None:
        """Let an alias, which need not exist, name this collection from now on, in one step."""

    def drop_alias(self, alias: str) -> None:
        """Delete an alias. Its collection stays."""
