"""Quarantine: the documents that could not be read, or not all of them, with the reason, beside their indexes.

In: failures of ingestion. Out: what lies in quarantine, by document. It is one collection for all indexes of a
store, so every host that ingests sees it. It does not know how documents are read.
"""

import hashlib
import json
import time
from collections.abc import Iterable
from dataclasses import dataclass

from plait.documents.failure import Failure
from plait.index.conditions import And, Condition, Equals, Field, one_of_each
from plait.index.stores.store import Schema, Store, StoreCollection

COLLECTION = "plait_quarantine"
_MAX_REASON_CHARS = 2_000
_FIELDS = ["tenant", "source", "step", "reason", "content_hash", "failed_at"]
_TEXT_BYTES = 65_535
_SCHEMA = Schema(
    key="entry_id",
    texts={
        "entry_id": 64,
        **dict.fromkeys(("collection", "tenant", "source", "step", "reason", "content_hash"), _TEXT_BYTES),
    },
    numbers=("failed_at",),
)


@dataclass(frozen=True)
class Quarantined:
    """A failure in quarantine. `failed_at`: of the last try, milliseconds since 1970, UTC."""

    tenant: str
    failure: Failure
    failed_at: int


class Quarantine:
    """The quarantine of one index.

    Args:
        store: the one that has the index.
        index: the name of the index, which need not exist.
    """

    def __init__(self, store: Store, index: str) -> None:
        self._store = store
        self._index = index

    def entries(self, tenant: str | None = None) -> list[Quarantined]:
        """What lies in quarantine, of one tenant or of all, in the order of tenants and names.

        Raises:
            Unavailable: when the store does not answer.
        """
        held = self._held()
        entries = [
            Quarantined(
                row["tenant"],
                Failure(row["source"], row["reason"], row["step"], row["content_hash"]),
                row["failed_at"],
            )
            for row in (held.scan(self._of(tenant), _FIELDS) if held else ())
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
            }
            for failure in failures
        ]
        if rows:
            held = self._held() or self._store.create(COLLECTION, _SCHEMA, {})
            held.upsert(rows)

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

    def _held(self) -> StoreCollection | None:
        """The collection of all quarantines; None: nothing was ever put there."""
        held = self._store.open(COLLECTION)
        if held is not None:
            held.load()
        return held

    def _delete(self, where: Condition) -> None:
        held = self._held()
        if held is not None:
            held.delete(where)
