"""The documents of a recipe as a corpus: those whose file is their text can be edited."""

import json
from pathlib import Path

from plait.jobs.questions.reading import read_corpus
from plait.recipes import IngestRecipe, load_recipe


def test_documents_rows_and_failures_are_told_apart(tmp_path: Path) -> None:
    (tmp_path / "plain.md").write_bytes(b"# Hub\r\n\r\nPort: 80\r\n")
    (tmp_path / "page.html").write_text("<h1>Node</h1><p>Port: 81</p>")
    (tmp_path / "rows.csv").write_text("id,body\nr1,Port: 82\n")
    (tmp_path / "empty.txt").write_text(" ")
    sources = f"sources={json.dumps([str(tmp_path)])}"
    read = read_corpus(load_recipe(IngestRecipe, None, [sources, "table.text=body", "table.id=id"]))
    assert set(read.corpus.documents) == {"plain.md", "page.html", "r1"}
    assert read.corpus.editable == {"plain.md"}
    assert [(failure.source, failure.reason) for failure in read.failed] == [("empty.txt", "it holds no text")]
    for passage in read.corpus.passages:
        assert read.corpus.documents[passage.source].text[passage.start : passage.end] == passage.text
