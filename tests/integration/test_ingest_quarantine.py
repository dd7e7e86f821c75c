from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import ray
from local_ingestion import LocalActor
from typer.testing import CliRunner

from plait.cli import app
from plait.documents.chunk import Chunk, chunk_table
from plait.documents.chunker import settings_hash
from plait.documents.failure import Failure
from plait.documents.read import content_hash
from plait.errors import CollectionNotFound, DataError
from plait.index.collection import Index
from plait.index.quarantine import Quarantine
from plait.index.stores.connect import connect_store
from plait.index.stores.store import Store
from plait.jobs.ingest.job import ingest
from plait.jobs.ingest.ledger import Ledger
from plait.jobs.ingest.write import Write
from plait.models.vectors import NO_PROMPTS
from plait.recipes import IngestRecipe

pytestmark = pytest.mark.usefixtures("ingestion_in_place")


def test_an_unreadable_document_is_held_until_it_changes_or_is_retried(
    recipe: IngestRecipe, docs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = recipe.model_copy(update={"max_bad_share": 0.5})
    (docs / "bad.md").write_bytes(b"\0")
    assert ingest(recipe).written == 3
    said = CliRunner().invoke(app, ["collections", "quarantine", recipe.collection]).output
    about, reason = said.splitlines()
    assert about.startswith("bad.md (tenant default, parse, ")
    assert "NUL bytes" in reason

    # Unchanged it is not even read by the pipeline: nothing is to do, so Ray is not asked for.
    with monkeypatch.context() as patch:
        patch.setattr("plait.local.ray_head.connect", lambda: pytest.fail("Ray was started"))
        again = ingest(recipe)
    assert (again.written, again.unchanged, len(again.failed)) == (0, 3, 1)

    # It counts as unreadable all the same.
    with pytest.raises(DataError, match=r"1 of 4 documents .*bad\.md.* The others are in the index\."):
        ingest(recipe.model_copy(update={"max_bad_share": 0.1}))

    # What an older reader could not read, a run that is told to try reads.
    (docs / "bad.md").write_text("# Mended\n\nand good", encoding="utf-8")
    version = settings_hash(recipe.chunk, recipe.embedding.made_with)
    as_it_is = content_hash((docs / "bad.md").read_bytes(), version)
    Quarantine(connect_store(), recipe.collection).put(recipe.tenant, [Failure("bad.md", "bad", "parse", as_it_is)])
    assert (ingest(recipe).written, len(in_quarantine(recipe))) == (0, 1)
    assert (ingest(recipe, retry_quarantined=True).written, len(in_quarantine(recipe))) == (1, 0)

    # One that is gone leaves the quarantine, unless sync is off.
    (docs / "worse.md").write_bytes(b"\0")
    ingest(recipe)
    (docs / "worse.md").unlink()
    ingest(recipe.model_copy(update={"sync": False}))
    assert len(in_quarantine(recipe)) == 1
    ingest(recipe)
    assert in_quarantine(recipe) == []


def test_what_there_is_to_know_about_a_document_is_said_and_kept_until_it_changes(
    recipe: IngestRecipe, docs: Path
) -> None:
    (docs / "köln.txt").write_bytes("Grüße aus Köln, wo die Straße für Fußgänger geöffnet ist.".encode("cp1252"))
    fields = [f"collection={recipe.collection}", "chunk.max_tokens=32", f"embedding.model={recipe.embedding.model}"]
    said = CliRunner().invoke(app, ["ingest", str(docs), *fields]).output
    assert "read, but: köln.txt: read as cp1252 (guessed)" in said
    assert "4 documents written" in said
    assert "0 not read, 1 read with a note, in" in said
    (noted,) = in_quarantine(recipe)
    assert (noted.source, noted.step) == ("köln.txt", "note")

    # It is in the index, so it counts neither as unreadable nor as one to try again.
    again = ingest(recipe, retry_quarantined=True)
    assert (again.written, again.unchanged, again.failed, again.noted) == (0, 4, (), ())
    assert in_quarantine(recipe) == [noted]
    (docs / "köln.txt").write_text("Grüße aus Köln", encoding="utf-8")
    assert ingest(recipe).written == 1
    assert in_quarantine(recipe) == []


def in_quarantine(recipe: IngestRecipe) -> list[Failure]:
    entries = Quarantine(connect_store(), recipe.collection).entries(recipe.tenant)
    return [entry.failure for entry in entries]


def test_a_first_run_of_unreadable_documents_alone_can_be_looked_into(recipe: IngestRecipe, docs: Path) -> None:
    for name in ("a.md", "b.md", "guide/c.md"):
        (docs / name).write_bytes(b"\0")
    with pytest.raises(
        DataError, match=rf"\. Nothing was written\. .*plait collections quarantine {recipe.collection}"
    ):
        ingest(recipe)
    said = CliRunner().invoke(app, ["collections", "quarantine", recipe.collection]).output
    assert [name in said for name in ("a.md", "b.md", "guide/c.md")] == [True] * 3
    Quarantine(connect_store(), recipe.collection).clear()
    with pytest.raises(CollectionNotFound):
        Index.open(recipe.collection, connect_store())


def test_a_value_that_no_index_holds_costs_its_row_which_is_named(recipe: IngestRecipe, docs: Path) -> None:
    deep = "[" * 200 + "]" * 200
    rows = [
        '{"id": "good", "text": "words of a good row", "about": {"n": 18446744073709551615, "x": NaN}}',
        r'{"id": "half", "text": "words", "about": "\ud83d"}',
        r'{"id": "key", "text": "words", "about": {"\udc00": 1}}',
        '{"id": "large", "text": "words", "about": [-1267650600228229401496703205376]}',
        '{"id": "deep", "text": "words", "about": ' + deep + "}",
        r'{"id": "torn", "text": "words \ud83d", "about": 1}',
        r'{"id": "\ud83d", "text": "words", "about": 1}',
        '{"id": "last", "text": "words of the last row", "about": "\U0001f426"}',
    ]
    (docs / "zh.md").write_text("中文分词是一个问题", encoding="utf-8")
    (docs / "rows.jsonl").write_text("\n".join(rows), encoding="utf-8")
    table = {"text": "text", "id": "id", "metadata": ["about"]}
    recipe = IngestRecipe.model_validate(recipe.model_dump() | {"table": table, "max_bad_share": 0.9})
    for written, unchanged, unknown in ((7, 0, 1), (0, 7, 0)):
        report = ingest(recipe)
        assert (report.written, report.unchanged, report.unknown_chunks) == (written, unchanged, unknown)
        assert {failure.source: failure.reason for failure in report.failed} == {
            "half": "its column 'about' in row 2 of rows.jsonl holds half a character (a lone surrogate)",
            "key": "its column 'about' in row 3 of rows.jsonl holds half a character (a lone surrogate)",
            "deep": "its column 'about' in row 5 of rows.jsonl has more than 100 levels",
            "torn": "its column 'text' in row 6 of rows.jsonl holds half a character (a lone surrogate)",
            "rows.jsonl, row 7": "its column 'id' holds half a character (a lone surrogate)",
        }
    assert len(in_quarantine(recipe)) == 5


def test_a_document_that_the_index_refuses_fails_alone(recipe: IngestRecipe, milvus: Store) -> None:
    values = {"good": 1, "large": 2**100, "small": -(2**70), "fine": 2, "long": 3, "end": 4}
    chunks = [
        Chunk(f"{source}-{position}", source, "t" * (2_000 if source == "long" else 1), "", "text", position, 0, 4, 2,
              "v", 0, "default", {"value": value})
        for source, value in values.items()
        for position in range(2)
    ]  # fmt: skip
    dense = pa.FixedSizeListArray.from_arrays(pa.array(np.ones(8 * len(chunks), np.float32)), 8)
    table = chunk_table(chunks).append_column("dense", dense)
    ledger = LocalActor(Ledger)
    write = Write(recipe, NO_PROMPTS, milvus, None, ledger)
    for start, length in ((0, 3), (3, 9)):  # the first batch ends within a document that the second makes whole
        write(table.slice(start, length))
    index = Index.open(recipe.collection, milvus)
    assert index.document_states("default").keys() == {"good", "fine", "end"}
    failures = {failure.source: failure for failure in ray.get(ledger.failures.remote())}
    assert failures.keys() == {"large", "small", "long"}
    assert {failure.step for failure in failures.values()} == {"write"}
    assert "exceeds max_length" in failures["long"].reason
    assert sorted(ray.get(ledger.written.remote())) == ["end", "fine", "good"]
