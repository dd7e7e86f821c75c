from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plait.documents.failure import Failure, Unreadable
from plait.documents.load import load
from plait.documents.parse import parse, shorten
from plait.documents.read import DocumentFile
from plait.documents.reader import DocumentReader
from plait.documents.rows import RowReader
from plait.recipes import IngestRecipe


def test_markdown_stays_as_it_was_written() -> None:
    text = "# Ray\n\nIt is *fast*.\n"
    assert parse(text.encode(), "ray.md").text == text


def test_the_title_is_the_first_heading() -> None:
    assert parse(b"intro\n\n## The `ray` *project*\n\n# Later", "x.md").title == "The ray project"


def test_without_a_heading_the_title_is_the_file_name() -> None:
    assert parse(b"only text", "guide/getting-started.md").title == "getting-started"
    assert parse(b"# no heading in plain text", "notes.txt").title == "notes"


def test_headings_in_code_quotes_and_lists_do_not_count() -> None:
    text = "```\n# code\n```\n\n> # quoted\n\n- # listed\n\n    # indented\n\nReal\n====\n"
    document = parse(text.encode(), "x.md")
    assert [(heading.words, heading.level) for heading in document.headings] == [("Real", 1)]
    assert text[document.headings[0].start :].startswith("Real")


def test_front_matter_gives_the_title_and_is_no_heading() -> None:
    document = parse(b"---\ntitle: From the matter\n---\n# Heading\n", "x.md")
    assert document.title == "From the matter"
    assert [heading.words for heading in document.headings] == ["Heading"]


@pytest.mark.parametrize(
    ("text", "title"),
    [
        ("---\ntitle: At the end\n---", "At the end"),
        ("---  \ntitle: Blanks after it\n--- \t\n# H\n", "Blanks after it"),
        ("---\ntitle: Dots\n...\n# H\n", "Dots"),
        ("---\r\ntitle: Windows\r\n---\r\n# H\r\n", "Windows"),
        ("---\ntitle: 2024\n---\n# H\n", "2024"),
        ("---\ntitle: 1.10\ndate: 2024-02-30\n---\n# H\n", "1.10"),
        ("---\ntitle: Ray: a tour\ntags: [a]\n---\n# H\n", "Ray: a tour"),
        ('---\ntags: [a\nTitle: "Half a list"\n---\n# H\n', "Half a list"),
        ("---\ntitle: >\n  Two\n  lines\n---\n# H\n", "Two lines"),
        ("---\n# A comment\ntitle: Beside a comment\n---\n# H\n", "Beside a comment"),
        ("---\ntitle: |\n  In a block\nfoo: b: c\n---\n# H\n", "In a block"),
        ("---\ntitle: |\nfoo: b: c\n---\n# H\n", "H"),
        ("---\ntitle: >\n  a: b: c\n\tx\nfoo: b: c\n---\n# H\n", "H"),
        ('---\ntitle: "Before a comment" # c\nd: a: b\n---\n# H\n', "Before a comment"),
        ("---\ntitle: Beside a deep list\na: " + "[" * 1_000 + "\n---\n# H\n", "Beside a deep list"),
        ("+++\ntitle = 'Long'\na = " + "9" * 5_000 + "\n+++\n# H\n", "H"),
        ("+++\na = " + "[" * 5_000 + "\n+++\n# H\n", "H"),
        ("+++\ntitle = 'Of Hugo'\n+++\n# H\n", "Of Hugo"),
        ("---\ntitle: [a, b]\n---\n# H\n", "H"),
        ("---\n---\n# H\n", "H"),
    ],
)
def test_front_matter_gives_its_title_as_it_is_written(text: str, title: str) -> None:
    document = parse(text.encode(), "x.md")
    assert document.title == title
    assert document.text == text.replace("\r", "")
    assert [heading.words for heading in document.headings] == ["H"] * ("# H" in text)


@pytest.mark.parametrize(
    "text",
    [
        "---\njust words\n---\n# H\n",
        "---\nHe said: [so\nand went\n---\n# H\n",
        "+++\na: b\n+++\n# H\n",
        "---\n# H\n",
        "---\n" + "[" * 1_000 + "\n---\n# H\n",
    ],
)
def test_two_rules_are_not_taken_for_front_matter(text: str) -> None:
    document = parse(text.encode(), "x.md")
    assert document.headings[-1].words == "H"
    assert len(document.headings) == text.count("\n---") + 1


@pytest.mark.parametrize(
    ("text", "headings"),
    [
        ("---\n\n# Title\n\n---\n\nbody\n", ["Title"]),
        ("---\n# Slide one\n---\n# Slide two\n", ["Slide one", "Slide two"]),
        ("---\nNote: read this\n\nText between rules: here.\n# Real\n---\n", ["Real"]),
        ("---\nNote: a: b\n\n## Real\n---\n", ["Real"]),
        ("---\nNote: a: b\n\nThis is what he told me: c\n---\n# Real\n", ["Real"]),
    ],
)
def test_a_heading_between_two_rules_is_one(text: str, headings: list[str]) -> None:
    document = parse(text.encode(), "x.md")
    assert [heading.words for heading in document.headings][-len(headings) :] == headings
    assert document.title == document.headings[0].words


def test_a_heading_over_two_lines_keeps_its_words_apart() -> None:
    document = parse(b"One two\nthree  \nfour\n===\n\n# ![Logo](x.png) `five`\n", "x.md")
    assert [heading.words for heading in document.headings] == ["One two three four", "Logo five"]


def test_line_ends_and_byte_order_marks_are_unified() -> None:
    assert parse("\ufeffa\r\nb\rc".encode(), "x.txt").text == "a\nb\nc"


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (bytes(range(128, 256)) * 8, "not text in any known encoding"),
        (b"a\0b", "NUL bytes"),
        (b"", "holds no text"),
        (b" \n\t\n", "holds no text"),
    ],
)
def test_an_unreadable_document_says_why(data: bytes, reason: str) -> None:
    with pytest.raises(Unreadable, match=reason):
        parse(data, "x.txt")


@given(st.text())
def test_a_shortened_name_is_one_line_that_fits_a_column(name: str) -> None:
    short = shorten(name)
    assert len(short) <= 200
    assert "\n" not in short


@given(st.text(alphabet="#=-` \na>*é中\\[]()~1.", max_size=200))
def test_headings_start_at_line_starts_in_order(text: str) -> None:
    try:
        document = parse(text.encode(), "x.md")
    except Unreadable:
        return
    starts = [heading.start for heading in document.headings]
    assert starts == sorted(starts)
    assert all(start == 0 or document.text[start - 1] == "\n" for start in starts)


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [("a.html", "<div>" * 5_000 + "x", "nested too deeply"), ("a.md", "a\0b", "NUL bytes")],
)
def test_whatever_a_parser_trips_over_fails_its_document_alone(
    tmp_path: Path, name: str, text: str, reason: str
) -> None:
    (tmp_path / name).write_text(text, encoding="utf-8")
    recipe = IngestRecipe(sources=[str(tmp_path)])
    with RowReader(recipe.table) as rows:
        outcome = load(
            DocumentFile(name, str(tmp_path / name)), recipe, "settings", rows, DocumentReader(recipe.limits)
        )
    assert isinstance(outcome, Failure)
    assert reason in outcome.reason
    assert outcome.step == "parse"
    assert outcome.content_hash
