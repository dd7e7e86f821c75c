"""A table that is longer than a chunk is cut between rows, and every chunk of it says its columns."""

import time
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers

from plait.documents.chunk import Chunk
from plait.documents.chunker import Chunker, Origin, settings_hash
from plait.documents.markdown_tables import find_tables
from plait.documents.parse import parse
from plait.documents.table_columns import columns_of
from plait.index.schema import MAX_HEADING_BYTES
from plait.recipes import ChunkConfig

By = Literal["structure", "sentence", "recursive"]
ROWS = [f"| Region {n} | {n} | {n + 1} |" for n in range(60)]
HEADER = "| Region | Q1 | Q2 |"
TABLE = "\n".join([HEADER, "| --- | --- | --- |", *ROWS])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tokenizer for which each word and each sign is a token."""
    words = Tokenizer(models.WordLevel({"[UNK]": 0}, unk_token="[UNK]"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    folder = tmp_path_factory.mktemp("words")
    words.save(str(folder / "tokenizer.json"))
    return folder


def chunks_of(folder: Path, text: str, max_tokens: int = 64, by: By = "structure", overlap: int = 0) -> list[Chunk]:
    """Chunks, after a check that their spans are exact and no text is lost."""
    config = ChunkConfig(by=by, max_tokens=max_tokens, overlap_tokens=overlap)
    document = parse(text.encode(), "sales.md")
    chunks = Chunker(folder, config, settings_hash(config, "model")).chunk(document, Origin("t", "sales.md", "h", 1))
    assert all(document.text[chunk.start : chunk.end] == chunk.text for chunk in chunks)
    covered = {place for chunk in chunks for place in range(chunk.start, chunk.end)}
    assert not [c for place, c in enumerate(document.text) if place not in covered and not c.isspace()]
    assert all(len(chunk.heading.encode()) <= MAX_HEADING_BYTES for chunk in chunks)
    return chunks


@pytest.mark.parametrize("by", ["structure", "sentence", "recursive"])
@pytest.mark.parametrize("overlap", [0, 10])
def test_every_chunk_of_a_table_is_whole_rows_and_says_its_columns(folder: Path, by: By, overlap: int) -> None:
    chunks = chunks_of(
        folder, f"# Sales\n\n## 2024\n\nBy region.\n\n{TABLE}\n\nAll in thousands.", by=by, overlap=overlap
    )
    assert len(chunks) > 5
    first = next(number for number, chunk in enumerate(chunks) if HEADER in chunk.text)
    rows = [chunk for chunk in chunks[first + 1 :] if chunk.text.startswith("| Region")]
    assert len(rows) > 4
    assert {line for chunk in rows for line in chunk.text.splitlines()} <= {*ROWS, "", "All in thousands."}
    assert {chunk.heading for chunk in rows} == {f"2024 > {HEADER}"}
    assert {columns_of(chunk.heading) for chunk in chunks if chunk not in rows} == {""}
    assert all(f"Sales > 2024 > {HEADER}\n| Region" in chunk.text_to_embed for chunk in rows)
    assert max(len(chunk.text.split()) for chunk in rows) < 64


def test_a_table_that_fits_stays_with_what_stands_around_it(folder: Path) -> None:
    chunks = chunks_of(folder, f"# Sales\n\nBy region.\n\n{HEADER}\n| --- | --- | --- |\n{ROWS[0]}\n\nIn thousands.")
    assert [chunk.heading for chunk in chunks] == [""]


def test_a_row_longer_than_a_chunk_is_cut_between_cells_and_each_piece_says_its_own_columns(folder: Path) -> None:
    columns = [f"Column{n}" for n in range(40)]
    lines = [columns, ["---"] * 40, [f"Value{n}" for n in range(40)], [f"Other{n}" for n in range(40)]]
    chunks = chunks_of(folder, "\n".join(f"| {' | '.join(line)} |" for line in lines), max_tokens=48)
    pieces = [chunk for chunk in chunks if "Value" in chunk.text or "Other" in chunk.text]
    assert len(pieces) > 4
    for chunk in pieces:
        values = [word for word in chunk.text.split() if word != "|"]
        assert columns_of(chunk.heading).split()[1::2] == [f"Column{value[5:]}" for value in values]


def test_a_cell_longer_than_a_chunk_says_its_column_in_every_piece(folder: Path) -> None:
    text = f"| Name | Description |\n| --- | --- |\n| short | {'many words ' * 100}|\n| next | few |"
    chunks = chunks_of(folder, text, max_tokens=32)
    pieces = [chunk for chunk in chunks if chunk.text.startswith(("many", "words"))]
    assert len(pieces) > 5
    assert {columns_of(chunk.heading) for chunk in pieces} == {"| Description |"}
    assert columns_of(chunks[-1].heading) == "| Name | Description |"


def test_a_table_without_names_adds_no_columns(folder: Path) -> None:
    chunks = chunks_of(folder, "\n".join(["|  |  |", "| --- | --- |", *(f"| {n} | {n} |" for n in range(60))]))
    assert len(chunks) > 3
    assert {chunk.heading for chunk in chunks} == {""}


def test_names_of_any_length_leave_the_heading_within_its_limits(folder: Path) -> None:
    names = [f"é{n} " + "ü" * 300 for n in range(9)]
    rows = [[f"value {n} {m}" for m in range(9)] for n in range(20)]
    lines = [names, ["---"] * 9, *rows]
    chunks = chunks_of(folder, "## " + "ä" * 300 + "\n\n" + "\n".join(f"| {' | '.join(line)} |" for line in lines), 200)
    assert any(columns_of(chunk.heading) for chunk in chunks)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("| a | b |\n| --- | --- |\n| 1 | 2 |\nAfter.", [("a", "b")]),
        ("a | b\n:-- | --:\n1 | 2\n", [("a", "b")]),
        ("Before.\n\n| a \\| b |\n|---|\n| 1 |\n\n| c |\n|---|\n| 2 |", [("a \\| b",), ("c",)]),
        ("```\n| a | b |\n| --- | --- |\n| 1 | 2 |\n```", []),
        ("````\n```\n| a |\n| --- |\n| 1 |\n```\n````", []),
        ("> | a | b |\n> |---|---|\n> | 1 | 2 |\n> After.", [("a", "b")]),
        ("> > a | b\n> > --|--\n> > 1 | 2", [("a", "b")]),
        ("- |a|b|\n  |-|-|\n  |1|2|\n- |c|\n  |-|\n  |3|\n", [("a", "b"), ("c",)]),
        ("1. > a | b\n   > --|--\n   > 1 | 2", [("a", "b")]),
        ("a | b\n--|--\n- | 2", [("a", "b")]),
        ("``` inline ``` x\n\n| a |\n| --- |\n| 1 |", [("a",)]),
        ("```\n``` not closing\n| a |\n| --- |\n| 1 |\n```\n", []),
        ("~~~ a `b`\n~~~~ \n| a |\n| --- |\n| 1 |\n", [("a",)]),
        ("| a | b |\n| --- |\n| 1 | 2 |", []),
        ("| a | b |\n| --- | --- |", []),
        ("Title\n-----\n\n| a |", []),
        ("| --- | --- |\n| 1 | 2 |", []),
    ],
)
def test_tables_are_found_where_markdown_has_them(text: str, found: list[tuple[str, ...]]) -> None:
    assert [table.columns for table in find_tables(text)] == found


def test_tables_among_very_many_fences_are_found_at_once() -> None:
    started = time.process_time()
    assert len(find_tables("```\n```\n|a|\n|---|\n|b|\n\n" * 5_000)) == 5_000
    assert time.process_time() - started < 0.7  # 0.1 s; 1 where each table looks at all fences


def test_a_row_of_a_quoted_table_has_the_columns_of_its_cells() -> None:
    text = "> | a | b |\n> | --- | --- |\n> | 1 | 2 |"
    table = find_tables(text)[0]
    assert table.columns_in((text.index("> | 1"), text.index("| 2"))) == "| a |"
    assert table.columns_in((text.index("| 2"), len(text))) == "| b |"


def test_rows_have_all_columns_also_where_the_first_of_them_is_short() -> None:
    text = "| a | b |\n| --- | --- |\n| 0 | 0 |\n| 1 |\n| 2 | 3 |"
    table = find_tables(text)[0]
    assert table.columns_in((text.index("| 1"), len(text))) == "| a | b |"
    assert table.columns_in((text.index("| 1"), text.index("| 2") - 1)) == "| a |"
    assert table.columns_in((text.index("3"), len(text))) == "| b |"
    assert table.columns_in((0, len(text))) == ""


CELL = st.text(alphabet="ab 1|\\-`#", max_size=30)


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.lists(CELL, max_size=12), max_size=12),
    st.lists(
        st.sampled_from(["", "| --- | --- |", "|---|", "a | b", "```", "# Title", "some words. " * 9]), max_size=6
    ),
    st.sampled_from(["structure", "sentence", "recursive"]),
    st.sampled_from([0, 5]),
    st.randoms(use_true_random=False),
)
def test_whatever_the_table_spans_are_exact_and_no_text_is_lost(
    folder: Path, rows: list[list[str]], others: list[str], by: By, overlap: int, random: object
) -> None:
    lines = [*(f"| {' | '.join(row)} |" for row in rows), *others]
    random.shuffle(lines)  # type: ignore[attr-defined]
    head = ["# T", "", "| a | b | c |", "| --- | --- | --- |"]
    chunks_of(folder, "\n".join([*head, *lines]), max_tokens=16, by=by, overlap=overlap)
