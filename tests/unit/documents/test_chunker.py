import json
import re
from itertools import pairwise
from pathlib import Path
from typing import Literal, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers

from plait.documents.chunk import CHUNK_SCHEMA, chunk_table
from plait.documents.chunker import Chunker, Origin, heading_finder, settings_hash
from plait.documents.failure import Unreadable
from plait.documents.parse import Document, parse
from plait.documents.split import _GRAMMARS, spans_within_lines
from plait.errors import ModelNotFound
from plait.index.schema import MAX_TEXT_BYTES
from plait.recipes import ChunkConfig

By = Literal["structure", "sentence", "recursive"]
ORIGIN = Origin(tenant="acme", source="guide.md", content_hash="hash", updated_at=1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tokenizer for which every word, however long, is one token; truncation is on, as in real models."""
    words = Tokenizer(models.WordLevel({"[UNK]": 0}, unk_token="[UNK]"))
    words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    words.enable_truncation(8)
    words.enable_padding(length=8)
    folder = tmp_path_factory.mktemp("words")
    words.save(str(folder / "tokenizer.json"))
    return folder


def chunker(folder: Path, max_tokens: int = 16, overlap_tokens: int = 0, by: By = "structure") -> Chunker:
    config = ChunkConfig(by=by, max_tokens=max_tokens, overlap_tokens=overlap_tokens)
    return Chunker(folder, config, settings_hash(config, "model"))


def sections(*headings: str, words: int = 12) -> str:
    return "\n\n".join(f"{heading}\n\n{' '.join(['word'] * words)}" for heading in headings)


def test_chunks_hold_at_most_so_many_tokens(folder: Path) -> None:
    chunks = chunker(folder).chunk(Document(" ".join(["word"] * 100), "t"), ORIGIN)
    lengths = [len(chunk.text.split()) for chunk in chunks]
    assert sum(lengths) == 100
    assert 14 <= max(lengths) <= 16


@pytest.mark.parametrize("line", ["word " * 40_000, "x" * 200_000, "{'a':1}," * 25_000, "éà " * 60_000])
def test_a_splitter_is_never_given_more_of_a_line_than_it_can_split_in_time(line: str) -> None:
    class Seen:
        def spans(self, text: str, syntax: str) -> list[tuple[int, int]]:
            lengths.append(max(map(len, text.split("\n"))))
            return [(0, len(text))]

    lengths: list[int] = []
    text = f"# Before\n\nA paragraph.\n{line}\nAfter.\n"
    spans = spans_within_lines(Seen(), text, "text")
    assert max(lengths) <= 32_768
    assert "".join(text[start:end] for start, end in spans).replace("\n", "") == text.replace("\n", "")
    assert not any(text[end - 1 : end + 1].isalpha() for _, end in spans[1:-2]) or " " not in line


def test_a_text_of_ordinary_lines_is_split_in_one_go() -> None:
    class Whole:
        def spans(self, text: str, syntax: str) -> list[tuple[int, int]]:
            return [(0, len(text))]

    text = ("x" * 32_768 + "\n") * 3
    assert spans_within_lines(Whole(), text, "text") == [(0, len(text))]


def test_headings_and_ends_of_sections_are_not_left_alone(folder: Path) -> None:
    text = "# Guide\n\n" + " ".join(["word"] * 30) + "\n\n## Use\n\n" + " ".join(["more"] * 30)
    chunks = chunker(folder, max_tokens=32).chunk(parse(text.encode(), "guide.md"), ORIGIN)
    assert [chunk.text.splitlines()[0] for chunk in chunks if chunk.text.startswith("#")] == ["# Guide", "## Use"]
    assert min(len(chunk.text.split()) for chunk in chunks[:-1]) >= 4
    assert max(len(chunk.text.split()) for chunk in chunks) <= 32


def test_markdown_is_split_between_sections(folder: Path) -> None:
    document = parse(sections("# Guide", "## Install", "## Use").encode(), "guide.md")
    chunks = chunker(folder).chunk(document, ORIGIN)
    assert [chunk.text.splitlines()[0] for chunk in chunks] == ["# Guide", "## Install", "## Use"]


@pytest.mark.parametrize(
    ("text", "heading"),
    [
        ("# Guide\n\n## Objects\n\n### What is a class?\n\nA type.", "Objects > What is a class?"),
        ("Objects\n-------\n\n### What is a class?\nA type.", "What is a class?"),
        ("## Objects\n\nAll of them.\n\n### What is a class?\n\nA type.", ""),
        ("## Objects\n\n### Classes\n\n## Modules\n\nA file.", "Modules"),
        ("Before.\n\n## Objects\n\nAll of them.", ""),
        ("## Guide\n\n## Objects", "Objects"),
    ],
)
def test_a_chunk_that_begins_with_headings_is_under_the_last_of_them(text: str, heading: str) -> None:
    assert heading_finder(parse(text.encode(), "guide.md"))(0) == heading


def test_a_chunk_knows_the_headings_above_it(folder: Path) -> None:
    document = parse(sections("# Guide", "## Install", "### From source", "## Use", words=10).encode(), "guide.md")
    chunks = chunker(folder).chunk(document, ORIGIN)
    assert [chunk.heading for chunk in chunks] == ["", "Install", "Install > From source", "Use"]
    assert {chunk.title for chunk in chunks} == {"Guide"}
    assert chunks[2].text_to_embed.startswith("Guide > Install > From source\n### From source")


def test_overlap_repeats_the_end_of_the_chunk_before(folder: Path) -> None:
    text = " ".join(f"w{i}" for i in range(40))
    chunks = chunker(folder, overlap_tokens=4).chunk(Document(text, "t"), ORIGIN)
    assert all(later.start < earlier.end for earlier, later in pairwise(chunks))


def test_a_run_without_blanks_does_not_make_a_chunk_without_end(folder: Path) -> None:
    chunks = chunker(folder).chunk(Document("é" * 100_000, "t", "markdown"), ORIGIN)
    assert 200 < max(len(chunk.text) for chunk in chunks) <= 16 * 16
    largest = chunker(folder, max_tokens=10**6).chunk(Document("中" * 100_000, "t"), ORIGIN)
    assert max(len(chunk.text.encode()) for chunk in largest) <= MAX_TEXT_BYTES


def test_the_same_document_gives_the_same_ids_and_other_settings_give_others(folder: Path) -> None:
    document = Document("some words to split", "t")
    ids = {chunker(folder, max_tokens).chunk(document, ORIGIN)[0].chunk_id for max_tokens in (16, 16, 17)}
    assert len(ids) == 2


def test_settings_that_make_other_chunks_or_vectors_have_another_hash() -> None:
    configs = [ChunkConfig(), ChunkConfig(max_tokens=100), ChunkConfig(overlap_tokens=10), ChunkConfig(by="sentence")]
    hashes = {settings_hash(config, model) for config in configs for model in ("a", "b")}
    assert len(hashes) == 8


def test_a_model_without_a_fast_tokenizer_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFound, match=r"no tokenizer\.json"):
        chunker(tmp_path)


def test_a_table_of_chunks_has_the_schema_of_chunks(folder: Path) -> None:
    chunks = chunker(folder).chunk(Document("text", "t"), ORIGIN)
    table = chunk_table(chunks)
    assert table.schema == CHUNK_SCHEMA
    row = table.to_pylist()[0]
    assert (row["tenant"], row["source"], json.loads(row["metadata"])) == ("acme", "guide.md", {})
    assert chunk_table([]).schema == CHUNK_SCHEMA


def test_source_code_is_split_between_definitions(folder: Path) -> None:
    code = "import os\n\n\n" + "\n\n\n".join(
        f"def {name}(path):\n    # Not a heading\n    first = os.stat(path)\n    return first.st_size"
        for name in ("one", "two")
    )
    chunks = chunker(folder).chunk(parse(code.encode(), "sizes.py"), ORIGIN)
    assert [chunk.text.split("(")[0] for chunk in chunks] == ["import os\n\n\ndef one", "def two"]
    assert {(chunk.title, chunk.heading) for chunk in chunks} == {("sizes.py", "")}


@pytest.mark.parametrize("language", sorted(_GRAMMARS))
def test_every_language_has_a_grammar_that_works(folder: Path, language: str) -> None:
    text = " ".join(["word"] * 40)
    assert len(chunker(folder).chunk(Document(text, "t", language), ORIGIN)) > 1


def test_by_sentence_only_whole_sentences_are_kept_together(folder: Path) -> None:
    text = (
        "# Title\n\nDr. Smith paid 3.50 for it. He left! And then? " + "Nobody knows what he did after that day. " * 4
    )
    chunks = chunker(folder, by="sentence").chunk(parse(text.encode(), "x.md"), ORIGIN)
    assert len(chunks) > 2
    assert all(chunk.text.endswith((".", "!", "?")) for chunk in chunks)
    assert chunks[0].text.endswith("He left! And then?")


def test_by_sentence_the_overlap_is_whole_sentences(folder: Path) -> None:
    text = " ".join(f"Sentence number {number} is here." for number in range(12))
    chunks = chunker(folder, overlap_tokens=6, by="sentence").chunk(Document(text, "t"), ORIGIN)
    shared = [text[later.start : earlier.end] for earlier, later in pairwise(chunks)]
    assert all(re.fullmatch(r"Sentence number \d+ is here\.", words) for words in shared)


def test_recursive_looks_at_no_headings_and_still_names_them(folder: Path) -> None:
    document = parse(sections("# Guide", "## Install", "## Use", words=5).encode(), "guide.md")
    chunks = chunker(folder, by="recursive").chunk(document, ORIGIN)
    assert "## Install" in chunks[0].text
    assert chunks[-1].heading == "Use"


@settings(deadline=None, max_examples=300)
@given(
    st.text(alphabet="ab é中😀\n#-*`>|\t.!?。{}();=:\"'", min_size=1, max_size=400),
    st.sampled_from(["x.md", "x.txt", "x.py", "x.js", "x.c"]),
    st.sampled_from(get_args(By)),
    st.sampled_from([0, 5]),
)
def test_spans_are_exact_and_no_text_is_lost(folder: Path, text: str, name: str, by: By, overlap_tokens: int) -> None:
    try:
        document = parse(text.encode(), name)
    except Unreadable:
        return
    chunks = chunker(folder, overlap_tokens=overlap_tokens, by=by).chunk(document, ORIGIN)
    assert [chunk.position for chunk in chunks] == list(range(len(chunks)))
    assert all(chunk.chunk_count == len(chunks) for chunk in chunks)
    assert all(document.text[chunk.start : chunk.end] == chunk.text for chunk in chunks)
    assert len({chunk.chunk_id for chunk in chunks}) == len(chunks)
    covered = {place for chunk in chunks for place in range(chunk.start, chunk.end)}
    lost = [place for place, character in enumerate(document.text) if place not in covered and not character.isspace()]
    assert not lost
