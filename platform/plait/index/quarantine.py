"""Quarantine: the documents that could not be read, or not all of them, with the reason, beside their indexes.

In: failures of ingestion. Out: what lies in quarantine, by document. It is one Milvus collection for all indexes of a
server, so every host that ingests sees it. It does not know how documents are read.
"""

import hashlib
import json
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from plait.documents.failure import Failure
from plait.index.conditions import And, Condition, Equals, Field, one_of_each
from plait.index.connection import Milvus
from plait.index.stores.milvus.expression import expression
from plait.settings import settings

COLLECTION = "plait_quarantine"
_MAX_REASON_CHARS = 2_000
_FIELDS = ["tenant", "source", "step", "reason", "content_hash", "failed_at"]
_NO_VECTOR = [0.0, 0.0]  # Milvus has no collection without a vector


@dataclass(frozen=True)
class Quarantined:
    """A failure in quarantine. `failed_at`: of the last try, milliseconds since 1970, UTC."""

    tenant: str
    failure: Failure
    failed_at: int


class Quarantine:
    """The quarantine of one index.

    Args:
        milvus: the server that has the index.
        index: the name of the index, which need not exist.
    """

    def __init__(self, milvus: Milvus, index: str) -> None:
        self._milvus = milvus
        self._index = index

    def entries(self, tenant: str | None = None) -> list[Quarantined]:
        """What lies in quarantine, of one tenant or of all, in the order of tenants and names.

        Raises:
            Unavailable: when Milvus does not answer.
        """
        entries = [
            Quarantined(
                row["tenant"],
                Failure(row["source"], row["reason"], row["step"], row["content_hash"]),
                row["failed_at"],
            )
            for row in self._rows(self._of(tenant))
        ]
        return sorted(entries, key=lambda entry: (entry.tenant, entry.failure.source))

    def put(self, tenant: str, failures: Iterable[Failure]) -> None:
        """Put documents into quarantine, each over its earlier entry."""
        now = int(time.time() * 1000)
        rows = [
            {
                "entry_id": self._entry_id(tenant, failure.source),
                "collection": self._index,
                "tenant": tenant,
                "source": failure.source,
                "step": failure.step,
                "reason": failure.reason[:_MAX_REASON_CHARS],
                "content_hash": failure.content_hash,
                "failed_at": now,
                "unused": _NO_VECTOR,
            }
            for failure in failures
        ]
        if rows:
            self._create_if_missing()
            with self._milvus.answering("write to the quarantine") as client:
                client.upsert(COLLECTION, rows, timeout=settings().milvus_timeout_s)

    def release(self, tenant: str, sources: Iterable[str]) -> None:
        """Take documents out of quarantine."""
        for some in one_of_each(Field("source"), sources):
            self._delete(And((self._of(tenant), some)))

    def clear(self) -> None:
        """Take all documents of the index out of quarantine."""
        self._delete(self._of())

    def _of(self, tenant: str | None = None) -> Condition:
        """The documents of the index, or of one of its tenants."""
        of_index = Equals(Field("collection"), self._index)
        return of_index if tenant is None else And((of_index, Equals(Field("tenant"), tenant)))

    def _entry_id(self, tenant: str, source: str) -> str:
        key = json.dumps([self._index, tenant, source], ensure_ascii=False)
        return hashlib.sha256(key.encode()).hexdigest()[:32]

    def _exists(self) -> bool:
        with self._milvus.answering("look for the quarantine") as client:
            if not client.has_collection(COLLECTION, timeout=settings().milvus_timeout_s):
                return False
            # A server that was restarted holds no collection in memory until it is told to.
            client.load_collection(COLLECTION, timeout=settings().milvus_timeout_s)
        return True

    def _create_if_missing(self) -> None:
        from pymilvus import DataType, MilvusClient
        from pymilvus.exceptions import MilvusException

        if self._exists():
            return
        schema = MilvusClient.create_schema(auto_id=False, enable_dynamic_field=False)
        schema.add_field("entry_id", DataType.VARCHAR, max_length=64, is_primary=True)
        for name in ("collection", "tenant", "source", "step", "reason", "content_hash"):
            schema.add_field(name, DataType.VARCHAR, max_length=65_535)
        schema.add_field("failed_at", DataType.INT64)
        schema.add_field("unused", DataType.FLOAT_VECTOR, dim=len(_NO_VECTOR))
        with self._milvus.answering("make the quarantine") as client:
            indexes = client.prepare_index_params()
            indexes.add_index("unused", index_type="FLAT", metric_type="L2")
            try:
                client.create_collection(
                    COLLECTION, schema=schema, index_params=indexes, timeout=settings().milvus_timeout_s
                )
            except MilvusException:
                if not self._exists():  # else another run made it meanwhile
                    raise

    def _delete(self, condition: Condition) -> None:
        if self._exists():
            with self._milvus.answering("delete from the quarantine") as client:
                client.delete(COLLECTION, filter=expression(condition), timeout=settings().milvus_timeout_s)

    def _rows(self, condition: Condition) -> Iterator[dict[str, Any]]:
        if self._exists():
            yield from self._milvus.rows(COLLECTION, expression(condition), _FIELDS)
