"""Facts that documents state in a form of their own, found without a model.

In: a corpus. Out: facts from `key: value` lines (front matter and lists among them), tables whose first column names
what a row is about, and sentences such as `The port of the server is 8000.` and `Milvus is a vector store.` Values are
short, and stand in the text as they are. Keys, columns and values may be of any language; sentences are English.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise

from plait.documents.chunker import heading_finder
from plait.documents.formats import MARKDOWN, TEXT
from plait.documents.markdown_tables import MarkdownTable, cell_starts, find_tables
from plait.documents.parse import Document
from plait.evaluation.answers import tokens
from plait.evaluation.judges.lexical import FUNCTION_WORDS
from plait.evaluation.sentences import sentences
from plait.questions.corpus import Corpus
from plait.questions.fact import GAP, Fact

_MAX_VALUE_WORDS, _MAX_VALUE_CHARS = 12, 100
"""A longer answer is prose: hardly a reply repeats it word by word."""
_MAX_KEY_WORDS, _MAX_COLUMN_WORDS = 6, 8
_CODE = re.compile(r"^[ \t]*(`{3,}|~{3,}).*?(?:^[ \t]*\1[ \t]*$|\Z)", re.DOTALL | re.MULTILINE)
_ITEM, _BOLD = r"(?:(?:[-*+]|\d{1,3}[.)])[ \t]+)?", r"(?:\*\*|__)?"
_PAIR = re.compile(
    rf"^[ \t]*{_ITEM}{_BOLD}(?P<key>[^\W\d_][^:：*|\n]{{0,80}}?){_BOLD}[ \t]?[:：]{_BOLD}"
    r"[ \t]*(?<=[\s：*_])(?P<value>\S[^\n]*?)[ \t]*$",
    re.MULTILINE,
)
_REMARKS = frozenset(
    tokens("""
    note notes warning tip hint example examples see todo important caution question answer q a title summary
    description abstract http https usage returns raises args
    """)
)
"""Keys of lines that state no short fact: remarks, and what describes a whole document."""
_ATTRIBUTE = r"The (?P<attribute>[a-z][\w -]{2,40}?)"
_VALUE = r"(?:is|are) (?P<value>\S[^.\n]*(?:\.\w[^.\n]*)*)\.$"
_OF = re.compile(rf"^{_ATTRIBUTE} (?:of|for) (?P<entity>(?:the |[A-Z\d])[\w .+-]{{1,40}}?) {_VALUE}")
_OWN = re.compile(rf"^{_ATTRIBUTE} {_VALUE}")
_IS = re.compile(r"^(?P<entity>[A-Z][\w.+-]*(?: [A-Z][\w.+-]*){0,3}) (?:is|are) (?P<value>an? \S[^.\n]*)\.$")
_PRONOUNS = frozenset(tokens("it this that these those there he she they we you what which who here"))
_PARAGRAPH = re.compile(r"(?:^(?![ \t]*(?:[#>|]|[-*+][ \t]|\d+[.)][ \t])).*\S.*\n?)+", re.MULTILINE)
_WRAPPED = {"`": "`", '"': '"', "“": "”", "*": "*", "_": "_", "<": ">"}


@dataclass(frozen=True)
class _Stated:
    """What is stated at a place: `start` and `end` of the value."""

    entity: str
    attribute: str
    start: int
    end: int


def structured_facts(corpus: Corpus) -> tuple[list[Fact], int]:
    """The facts of a corpus, in the order of documents and places; and how many are cut between two passages."""
    headings = Counter(
        heading.words for document in corpus.documents.values() for heading in {*document.headings} if heading.level > 1
    )
    facts: list[Fact] = []
    cut = 0
    for source, document in corpus.documents.items():
        if document.syntax not in (MARKDOWN, TEXT):
            continue
        for stated in sorted({*_stated(document, headings)}, key=lambda each: (each.start, each.attribute)):
            passage = corpus.passage_with(source, stated.start, stated.end)
            value = " ".join(document.text[stated.start : stated.end].split())
            if passage is None:
                cut += 1
            else:
                facts.append(Fact(stated.entity, stated.attribute, value, passage, stated.start, stated.end))
    return facts, cut


def _stated(document: Document, headings: Counter[str]) -> Iterator[_Stated]:
    text = _CODE.sub(lambda code: re.sub(r"[^\n]", " ", code[0]), document.text)
    entity_at = _entity_finder(document, headings)
    yield from _pairs(text, entity_at)
    for table in find_tables(text) if document.syntax == MARKDOWN else ():
        yield from _cells(table)
    yield from _sentences(text, entity_at)


def _entity_finder(document: Document, headings: Counter[str]) -> Callable[[int], str]:
    """What tells what a place is about: the nearest heading, with the title where others have such a heading, too."""
    heading_at = heading_finder(document)

    def entity_at(start: int) -> str:
        heading = heading_at(start).rpartition(" > ")[2]
        if not heading or heading == document.title:
            return document.title
        return heading if headings[heading] == 1 and len(heading.split()) > 1 else f"{heading} of {document.title}"

    return entity_at


def _pairs(text: str, entity_at: Callable[[int], str]) -> Iterator[_Stated]:
    for pair in _PAIR.finditer(text):
        key = pair["key"].strip(" `\"'")
        span = _short_value(text, pair.start("value"), pair.end("value"))
        if span is None or not _is_name(key):
            continue
        entity, attribute = _without_entity(key, entity_at(pair.start()))
        yield _Stated(entity, attribute, *span)


def _is_name(key: str) -> bool:
    """Whether a key names an attribute, and is no remark and no beginning of a sentence."""
    words = key.lower().split()
    return 0 < len(words) <= _MAX_KEY_WORDS and words[0] not in FUNCTION_WORDS and key.lower() not in _REMARKS


def _without_entity(key: str, entity: str) -> tuple[str, str]:
    """An entity and an attribute of it, of a key that may name the entity: `Licence of ray`, `what ray requires`."""
    words, name = key.split(), entity.split()
    for place in range(len(words) - len(name) + 1):
        if [word.lower() for word in words[place : place + len(name)]] == [word.lower() for word in name]:
            before, after = words[:place], words[place + len(name) :]
            if before and not after and before[-1].lower() in ("of", "for"):
                before.pop()
                return entity, " ".join(before) or key
            return entity, " ".join([*before, GAP, *after])
    return entity, key


def _cells(table: MarkdownTable) -> Iterator[_Stated]:
    if not table.is_named or len(table.columns) < 2:
        return
    for row in table.rows:
        starts = [*cell_starts(table, row), row[1]]
        spans = [_short_value(table.text, *span) for span in pairwise(starts)]
        if not spans or spans[0] is None:
            continue
        entity = " ".join(table.text[slice(*spans[0])].split())
        for column, span in zip(table.columns[1:], spans[1:], strict=False):
            if span is not None and column and len(column.split()) <= _MAX_COLUMN_WORDS:
                yield _Stated(entity, column.strip("*_` "), *span)


def _sentences(text: str, entity_at: Callable[[int], str]) -> Iterator[_Stated]:
    for paragraph in _PARAGRAPH.finditer(text):
        for sentence in sentences(paragraph[0]):
            line = sentence.text.replace("\n", " ")  # as long as before: places stay
            found = _OF.match(line) or _OWN.match(line) or _IS.match(line)
            start = paragraph.start() + sentence.start
            span = found and _short_value(text, start + found.start("value"), start + found.end("value"))
            if not found or not span:
                continue
            named = found.groupdict()
            attribute = named.get("attribute") or ""
            if "entity" in named:
                entity = named["entity"]
            else:
                entity, attribute = _without_entity(attribute, entity_at(start))
            if entity.split()[0].lower() not in _PRONOUNS:
                yield _Stated(entity, attribute, *span)


def _short_value(text: str, start: int, end: int) -> tuple[int, int] | None:
    """The place of a short value within a span, without blanks, bars and marks around it; None where it is none."""
    while start < end and text[start] in " \t\n|":
        start += 1
    while start < end and text[end - 1] in " \t\n|.,;":
        end -= 1
    while end - start > 2 and _WRAPPED.get(text[start]) == text[end - 1]:
        start, end = start + 1, end - 1
    value = text[start:end]
    is_short = 0 < len(value) <= _MAX_VALUE_CHARS and len(value.split()) <= _MAX_VALUE_WORDS
    is_plain = any(map(str.isalnum, value)) and not value.endswith((":", "?")) and "](" not in value
    return (start, end) if is_short and is_plain else None
