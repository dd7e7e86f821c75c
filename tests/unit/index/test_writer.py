"""The writing step, over an index that is a dict."""

from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import Any, cast

import pyarrow as pa

from plait.documents.chunk import Chunk, chunk_table
from plait.errors import DataError
from plait.index.collection import Index
from plait.index.document_state import DocumentState, DocumentVersion
from plait.index.writer import IndexWriter, Written


class Rows:
    """An index of chunks by their id, which refuses texts that say `bad`."""

    def __init__(self, is_slow_before_flush: bool = False) -> None:
        self.rows: dict[str, dict[str, Any]] = {}
        self.is_slow_before_flush = is_slow_before_flush
        self.flushes = 0

    def upsert(self, chunks: pa.Table) -> None:
        rows = chunks.to_pylist()
        if any("bad" in row["text"] for row in rows):
            raise DataError("The index refuses a value (bad).")
        self.rows |= {row["chunk_id"]: row for row in rows}

    def document_states(self, tenant: str, sources: Iterable[str]) -> dict[str, DocumentState]:
        present: dict[str, Counter[DocumentVersion]] = defaultdict(Counter)
        for row in self.rows.values():
            if row["tenant"] == tenant and row["source"] in set(sources):
                present[row["source"]][DocumentVersion(row["content_hash"], row["chunk_count"])] += 1
        return {source: DocumentState(dict(versions)) for source, versions in present.items()}

    def delete_stale(self, tenant: str, source: str, keep: DocumentVersion) -> None:
        def is_kept(row: dict[str, Any]) -> bool:
            is_of_it = (row["tenant"], row["source"]) == (tenant, source)
            return not is_of_it or DocumentVersion(row["content_hash"], row["chunk_count"]) == keep

        self.rows = {id: row for id, row in self.rows.items() if is_kept(row)}

    def delete_documents(self, tenant: str, sources: Iterable[str]) -> None:
        gone = set(sources)
        self.rows = {i: r for i, r in self.rows.items() if r["tenant"] != tenant or r["source"] not in gone}

    def flush(self) -> None:
        self.flushes += 1


def document(source: str, version: str, *texts: str, tenant: str = "default") -> list[Chunk]:
    return [
        Chunk(f"{tenant}-{source}-{version}-{i}", source, "", "", text, i, 0, 1, len(texts), version, 0, tenant)
        for i, text in enumerate(texts)
    ]


def write(writer: IndexWriter, *chunks: Chunk) -> Written:
    return writer.write(chunk_table(chunks))


def writer_of(rows: Rows) -> IndexWriter:
    return IndexWriter(cast(Index, rows), "default")


def test_a_document_loses_its_older_chunks_when_its_new_version_is_whole_and_not_before() -> None:
    rows = Rows()
    rows.upsert(chunk_table([*document("a", "old", "1", "2"), *document("a", "old", "1", tenant="other")]))
    writer = writer_of(rows)
    first, second, third = document("a", "new", "3", "4", "5")
    assert write(writer, first, second) == Written(2, {}, {})
    assert len(rows.rows) == 5
    assert write(writer, third) == Written(1, {"a": 3}, {})
    assert [(r["tenant"], r["content_hash"]) for r in rows.rows.values()] == [
        ("other", "old"),
        *[("default", "new")] * 3,
    ]


def test_what_a_killed_writer_left_is_completed_by_the_next() -> None:
    rows = Rows()
    first, second = document("a", "v", "1", "2")
    write(writer_of(rows), first)
    assert write(writer_of(rows), second).completed == {"a": 2}
    assert write(writer_of(rows), second).completed == {"a": 2}  # said again, as a stage that is run again does


def test_a_refused_document_costs_no_other_and_leaves_no_chunk_of_itself() -> None:
    rows = Rows()
    rows.upsert(chunk_table(document("kept", "old", "1")))
    writer = writer_of(rows)
    begun, refused, late = document("new", "v", "good", "bad", "good")
    write(writer, begun)
    batch = [*document("a", "v", "1"), refused, *document("kept", "new", "bad"), *document("z", "v", "1")]
    reason = "The index refuses a value (bad)."
    assert write(writer, *batch) == Written(2, {"a": 1, "z": 1}, {"kept": reason, "new": reason})
    assert write(writer, late) == Written(0, {}, {})
    assert {(row["source"], row["content_hash"]) for row in rows.rows.values()} == {
        ("a", "v"),
        ("z", "v"),
        ("kept", "old"),
    }


def test_only_the_embedded_milvus_is_flushed_while_it_is_written_to() -> None:
    for is_slow_before_flush, flushes in ((True, 1), (False, 0)):
        rows = Rows(is_slow_before_flush)
        writer = writer_of(rows)
        for source in "abc":
            write(writer, *document(source, "v", *["1"] * 1_000))
        assert rows.flushes == flushes
