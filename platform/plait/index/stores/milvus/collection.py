"""A collection in Milvus: rows written, read and deleted."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from plait.errors import CollectionNotFound, DataError, PlaitError, Unavailable, first_line
from plait.index.conditions import Condition
from plait.index.search import Search
from plait.index.stores.milvus.connection import Milvus
from plait.index.stores.milvus.expression import expression
from plait.index.stores.milvus.schema import NO_VECTOR, UNUSED
from plait.index.stores.milvus.search import search
from plait.index.stores.store import DENSE, Found, Row
from plait.models.vectors import Vectors
from plait.settings import settings

_FLUSH_TIMEOUT_S = 120.0  # it waits until the index is built
_PAGE_ROWS = 10_000  # Milvus allows 16,384


@dataclass(frozen=True)
class MilvusCollection:
    """A collection of a Milvus server as a `StoreCollection`."""

    milvus: Milvus
    name: str
    fields: frozenset[str]
    dimension: int

    @classmethod
    def described(cls, milvus: Milvus, about: Mapping[str, Any]) -> "MilvusCollection":
        """The collection that Milvus describes so."""
        fields = {field["name"]: field for field in about["fields"]}
        dimension = int(fields[DENSE]["params"]["dim"]) if DENSE in fields else 0
        return cls(milvus, str(about["collection_name"]), frozenset(fields), dimension)

    @property
    def has_bm25(self) -> bool:
        return "sparse" in self.fields

    def properties(self) -> Mapping[str, str]:
        with self.milvus.answering(f"describe collection '{self.name}'") as client:
            about = client.describe_collection(self.name, timeout=settings().milvus_timeout_s)
        properties: Mapping[str, str] = about.get("properties", {})
        return properties

    def set_property(self, name: str, value: str) -> None:
        with self.milvus.answering(f"note {name} of '{self.name}'") as client:
            client.alter_collection_properties(self.name, properties={name: value}, timeout=settings().milvus_timeout_s)

    def upsert(self, rows: Sequence[Row]) -> None:
        if not rows:
            return
        if UNUSED in self.fields:
            rows = [row | {UNUSED: NO_VECTOR} for row in rows]
        try:
            with self.milvus.answering(f"write to '{self.name}'") as client:
                client.upsert(self.name, rows, timeout=settings().milvus_timeout_s)
        except (CollectionNotFound, Unavailable):
            raise
        except (PlaitError, ValueError, TypeError, OverflowError, RecursionError) as error:
            # The client encodes values, and fails at some by errors of Python's.
            raise DataError(f"The index refuses a value ({first_line(error)}).") from error

    def delete(self, where: Condition) -> None:
        with self.milvus.answering(f"delete from '{self.name}'") as client:
            client.delete(self.name, filter=expression(where), timeout=settings().milvus_timeout_s)

    def scan(self, where: Condition, fields: Sequence[str]) -> Iterator[Row]:
        with self.milvus.answering(f"read '{self.name}'") as client:
            pages = client.query_iterator(
                self.name,
                filter=expression(where),
                output_fields=list(fields),
                batch_size=_PAGE_ROWS,
                consistency_level="Strong",
                timeout=settings().milvus_timeout_s,
            )
            try:
                while page := pages.next():
                    yield from page
            finally:
                pages.close()

    def look_up(self, where: Condition, fields: Sequence[str]) -> list[Row]:
        with self.milvus.answering(f"read '{self.name}'") as client:
            rows: list[Row] = client.query(
                self.name,
                filter=expression(where),
                output_fields=list(fields),
                timeout=settings().milvus_timeout_s,
            )
        return rows

    def search(
        self, how: Search, fields: Sequence[str], words: Sequence[str], vectors: Vectors | None
    ) -> list[list[Found]]:
        return search(self.milvus, self.name, how, fields, words, vectors)

    def load(self) -> None:
        with self.milvus.answering(f"load collection '{self.name}'") as client:
            client.load_collection(self.name, timeout=settings().milvus_timeout_s)

    def flush(self) -> None:
        # A Milvus server limits how often it may be called.
        with self.milvus.answering(f"flush '{self.name}'") as client:
            client.flush(self.name, timeout=_FLUSH_TIMEOUT_S)
