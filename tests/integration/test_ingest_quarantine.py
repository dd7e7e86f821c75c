from pathlib import Path

import pytest
from typer.testing import CliRunner

from plait.cli import app
from plait.errors import CollectionNotFound, DataError
from plait.index.collection import Index
from plait.index.connection import Milvus
from plait.index.quarantine import Failure, Quarantine
from plait.jobs.ingest.chunk import settings_hash
from plait.jobs.ingest.job import ingest
from plait.jobs.ingest.read import content_hash
from plait.recipes import IngestRecipe

pytestmark = pytest.mark.usefixtures("ray_cluster")


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
    Quarantine(Milvus.connect(), recipe.collection).put(recipe.tenant, [Failure("bad.md", "bad", "parse", as_it_is)])
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
    entries = Quarantine(Milvus.connect(), recipe.collection).entries(recipe.tenant)
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
    Quarantine(Milvus.connect(), recipe.collection).clear()
    with pytest.raises(CollectionNotFound):
        Index.open(recipe.collection)


def test_an_index_that_is_dropped_takes_its_quarantine_along(milvus: str, collection: str) -> None:
    index = Index.open_or_create(collection, embedding_model="model-a", dimension=8, uri=milvus)
    quarantine = Quarantine(Milvus.connect(milvus), collection)
    other = Quarantine(Milvus.connect(milvus), "another")
    for held in (quarantine, other):
        held.put("t", [Failure("a.md", "it is bad")])
        held.put("t", [Failure("a.md", "it is worse", "parse", "h")])
    assert [entry.failure for entry in quarantine.entries()] == [Failure("a.md", "it is worse", "parse", "h")]
    assert quarantine.entries("somebody else") == []
    index.drop()
    assert quarantine.entries() == []
    assert len(other.entries()) == 1
    other.clear()
