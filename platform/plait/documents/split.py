"""Where a text can be cut: by its structure, by sentences, or by the largest pieces of any kind that fit.

In: a text and what it is written in. Out: spans of at most so many tokens, in order, that together hold every character
but blanks. It does not know what a chunk needs besides its text.
"""

from collections.abc import Callable, Sequence
from functools import cache
from importlib import import_module
from itertools import pairwise
from typing import Any, Protocol

from semantic_text_splitter import CodeSplitter, MarkdownSplitter, TextSplitter
from tokenizers import Tokenizer

from plait.documents.formats import MARKDOWN
from plait.recipes import ChunkConfig

Span = tuple[int, int]
"""Start and end in characters."""

_GRAMMARS = {
    "bash": ("tree_sitter_bash", "language"),
    "c": ("tree_sitter_c", "language"),
    "cpp": ("tree_sitter_cpp", "language"),
    "go": ("tree_sitter_go", "language"),
    "java": ("tree_sitter_java", "language"),
    "javascript": ("tree_sitter_javascript", "language"),
    "python": ("tree_sitter_python", "language"),
    "rust": ("tree_sitter_rust", "language"),
    "tsx": ("tree_sitter_typescript", "language_tsx"),
    "typescript": ("tree_sitter_typescript", "language_typescript"),
}


# Splitting a piece takes time with the square of its length: 32,768 characters take 0.1 s, 100,000 take 0.6 s.
_MAX_LINE_CHARS = 32_768


class Splitter(Protocol):
    """Cuts a text written in some syntax."""

    def spans(self, text: str, syntax: str) -> list[Span]: ...


def make_splitter(config: ChunkConfig, tokenizer: Tokenizer, max_tokens: int) -> Splitter:
    """The splitter that `chunk.by` names.

    Args:
        config: how to split, and how many tokens neighbours share.
        tokenizer: of the embedding model, without truncation.
        max_tokens: the longest span.
    """
    if config.by == "sentence":
        return SentenceSplitter(tokenizer, max_tokens, config.overlap_tokens)
    return StructureSplitter(tokenizer, max_tokens, config.overlap_tokens, is_structure_seen=config.by == "structure")


def spans_within_lines(splitter: Splitter, text: str, syntax: str) -> list[Span]:
    """A text's spans, none of which goes beyond a piece of a very long line.

    In a line without end (a dump of data, a whole book in one) a splitter looks at all that follows for each span: 5 MB
    took 420 s. Such a line is cut between words first; texts with shorter lines are split as they are.
    """
    pieces = _pieces_of_long_lines(text)
    if len(pieces) == 1:
        return splitter.spans(text, syntax)
    return [
        (start + offset, end + offset)
        for offset, until in pieces
        for start, end in splitter.spans(text[offset:until], syntax)
    ]


def _pieces_of_long_lines(text: str) -> list[Span]:
    """All of the text, in order: each very long line in pieces, and what stands before and after it."""
    pieces: list[Span] = []
    begun = start = 0
    for line in text.split("\n"):
        end = start + len(line)
        if len(line) > _MAX_LINE_CHARS:
            if begun < start:
                pieces.append((begun, start))
            while end - start > _MAX_LINE_CHARS:
                blank = text.rfind(" ", start + _MAX_LINE_CHARS // 2, start + _MAX_LINE_CHARS)
                cut = blank + 1 if blank > 0 else start + _MAX_LINE_CHARS
                pieces.append((start, cut))
                start = cut
            begun = start
        start = end + 1
    if begun < len(text) or not pieces:
        pieces.append((begun, len(text)))
    return pieces


class StructureSplitter:
    """The largest units that fit: of Markdown sections, then blocks; of source code definitions, then statements; of
    all text paragraphs, then sentences, then words. By semantic-text-splitter.

    Args:
        is_structure_seen: False: Markdown and source code are text like any other.
    """

    def __init__(
        self, tokenizer: Tokenizer, max_tokens: int, overlap_tokens: int, *, is_structure_seen: bool = True
    ) -> None:
        self._is_structure_seen = is_structure_seen
        self._limits = (tokenizer, max_tokens, overlap_tokens)
        self._by_syntax: dict[str, Any] = {}

    def spans(self, text: str, syntax: str) -> list[Span]:
        if syntax not in self._by_syntax:
            self._by_syntax[syntax] = self._make(syntax if self._is_structure_seen else "")
        return [(start, start + len(piece)) for start, piece in self._by_syntax[syntax].chunk_indices(text)]

    def _make(self, syntax: str) -> Any:
        tokenizer, max_tokens, overlap_tokens = self._limits
        if syntax in _GRAMMARS:
            return CodeSplitter.from_huggingface_tokenizer(
                _grammar(syntax), tokenizer, max_tokens, overlap=overlap_tokens
            )
        kind = MarkdownSplitter if syntax == MARKDOWN else TextSplitter
        return kind.from_huggingface_tokenizer(tokenizer, max_tokens, overlap=overlap_tokens)


class SentenceSplitter:
    """As many whole sentences as fit, regardless of what they stand in; overlap is whole sentences too. Only a sentence
    that is longer than a span is cut. Sentences are found by sentencex (Wikimedia), for some 240 languages.
    """

    def __init__(self, tokenizer: Tokenizer, max_tokens: int, overlap_tokens: int) -> None:
        self._tokenizer = tokenizer
        self._max_tokens, self._overlap_tokens = max_tokens, overlap_tokens
        self._long_sentences = TextSplitter.from_huggingface_tokenizer(tokenizer, max_tokens)

    def spans(self, text: str, syntax: str) -> list[Span]:
        def fits(first: Span, last: Span, max_tokens: int) -> bool:
            return self._token_count(text[first[0] : last[1]]) <= max_tokens

        sentences = self._sentences(text)
        spans: list[Span] = []
        held: list[Span] = []
        for sentence in sentences:
            if held and not fits(held[0], sentence, self._max_tokens):
                spans.append((held[0][0], held[-1][1]))
                while held and not (
                    fits(held[0], held[-1], self._overlap_tokens) and fits(held[0], sentence, self._max_tokens)
                ):
                    held.pop(0)
            held.append(sentence)
        if held:
            spans.append((held[0][0], held[-1][1]))
        return spans

    def _sentences(self, text: str) -> list[Span]:
        """Sentences without the blanks around them, those that are too long in pieces."""
        from sentencex import get_sentence_boundaries

        starts = [boundary["start_index"] for boundary in get_sentence_boundaries("en", text)]
        places = pairwise([0, *starts, len(text)])
        return [span for start, end in places for span in self._cut(text, start, end)]

    def _cut(self, text: str, start: int, end: int) -> Sequence[Span]:
        sentence = text[start:end].strip()
        if not sentence:
            return []
        start += text[start:end].index(sentence[0])
        if self._token_count(sentence) <= self._max_tokens:
            return [(start, start + len(sentence))]
        pieces = self._long_sentences.chunk_indices(sentence)
        return [(start + offset, start + offset + len(piece)) for offset, piece in pieces]

    def _token_count(self, text: str) -> int:
        return len(self._tokenizer.encode(text, add_special_tokens=False).ids)


@cache
def _grammar(language: str) -> Any:
    """A language's tree-sitter grammar."""
    module, name = _GRAMMARS[language]
    make: Callable[[], Any] = getattr(import_module(module), name)
    return make()
