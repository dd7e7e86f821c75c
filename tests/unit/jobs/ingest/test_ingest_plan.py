from pathlib import Path

from plait.documents.failure import Failure
from plait.documents.read import DocumentFile, Found, content_hash
from plait.index.document_state import DocumentState, DocumentVersion
from plait.jobs.ingest.ledger import Ledger, Progress
from plait.jobs.ingest.plan import make_plan
from plait.recipes import IngestRecipe


def found(folder: Path, **texts: str) -> Found:
    documents = []
    for name, text in sorted(texts.items()):
        (folder / name).write_text(text, encoding="utf-8")
        documents.append(DocumentFile(name, str(folder / name)))
    return Found(tuple(documents), {})


def state(text: str, present: int = 2, chunk_count: int = 2) -> DocumentState:
    return DocumentState({DocumentVersion(content_hash(text.encode(), "s"), chunk_count): present})


def recipe(sync: bool = True) -> IngestRecipe:
    return IngestRecipe(sources=["unused"], sync=sync)


def test_only_what_is_new_changed_or_incomplete_is_done(tmp_path: Path) -> None:
    documents = found(tmp_path, new="a", same="b", changed="c2", half="d")
    states = {"same": state("b"), "changed": state("c1"), "half": state("d", present=1), "gone": state("e")}
    plan = make_plan(recipe(), documents, states, "s")
    assert [document.source for document in plan.changed] == ["changed", "half", "new"]
    assert [document.source for document in plan.unchanged] == ["same"]
    assert plan.gone == ("gone",)
    assert plan.document_count == 4


def test_a_document_with_left_over_chunks_is_done_again(tmp_path: Path) -> None:
    documents = found(tmp_path, a="text")
    both = DocumentState(state("text").present | state("older").present)
    assert both.has_whole(DocumentVersion(content_hash(b"text", "s"), 2))
    assert make_plan(recipe(), documents, {"a": both}, "s").changed == documents.documents


def test_other_settings_make_every_document_a_changed_one(tmp_path: Path) -> None:
    documents = found(tmp_path, a="text")
    assert make_plan(recipe(), documents, {"a": state("text")}, "other").changed == documents.documents


def test_without_sync_nothing_is_gone(tmp_path: Path) -> None:
    assert make_plan(recipe(sync=False), found(tmp_path, a="text"), {"b": state("x")}, "s").gone == ()


def test_a_file_that_cannot_be_opened_is_a_failure_and_its_older_version_stays(tmp_path: Path) -> None:
    missing = Found((DocumentFile("a", str(tmp_path / "a")),), {})
    plan = make_plan(recipe(), missing, {"a": state("text")}, "s")
    assert plan.failed == (Failure("a", "it cannot be read (No such file or directory)"),)
    assert plan.gone == ()


def test_a_document_in_quarantine_is_tried_again_when_it_or_the_settings_change(tmp_path: Path) -> None:
    documents = found(tmp_path, same="a", mended="b2", unopened="c")
    held = {
        "same": Failure("same", "it is bad", "parse", content_hash(b"a", "s")),
        "mended": Failure("mended", "it was bad", "parse", content_hash(b"b1", "s")),
        "unopened": Failure("unopened", "it cannot be read (Permission denied)"),
    }
    plan = make_plan(recipe(), documents, {}, "s", held)
    assert plan.failed == (held["same"],)
    assert [document.source for document in plan.changed] == ["mended", "unopened"]
    assert plan.document_count == 3
    assert make_plan(recipe(), documents, {}, "other", held).failed == ()


def test_names_that_the_index_cannot_hold_are_failures(tmp_path: Path) -> None:
    (tmp_path / "c").write_text("c")
    places = {"x" * 1025: tmp_path / "a", "\udcff.md": tmp_path / "b", "c.md": tmp_path / "\udcff" / ".." / "c"}
    documents = Found(tuple(DocumentFile(name, str(path)) for name, path in places.items()), {})
    failed = {failure.source: failure.reason for failure in make_plan(recipe(), documents, {}, "s").failed}
    assert failed == {
        "x" * 1025: "its name is longer than 1024 bytes",
        r"\udcff.md": "its path is not UTF-8",
        "c.md": "its path is not UTF-8",
    }


def test_what_is_told_to_the_ledger_twice_counts_once() -> None:
    ledger = Ledger()
    for _ in range(2):
        ledger.record_failure(Failure("b", "it holds no text", "parse", "h"))
        ledger.record_written(3, {"a": 3})
    assert ledger.progress() == Progress(documents_done=2, chunks_written=6)
    assert ledger.failures() == [Failure("b", "it holds no text", "parse", "h")]
    assert ledger.written() == {"a": 3}
