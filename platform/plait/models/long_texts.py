"""Texts that are longer than an embedding model reads: refused, cut, or read in windows.

In: texts, or the tokens of texts. Out: the pieces that the model is to read, and one vector a text from those of its
pieces. What is longer is counted in tokens, special ones included, as the model counts them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from typing import Literal

import numpy as np

from plait.errors import InvalidField
from plait.models.embedding import Embedding
from plait.models.encoders.tokens import TextTokens
from plait.models.vectors import Vectors

CHARACTERS_A_TOKEN = 100
"""More than any text has: English has 4 to 5. Beyond, a text is longer than a model reads, and need not be counted."""
_MAX_WINDOWS = 2048  # of one request; about 20 s on two cores
_MAX_WINDOWED_TOKENS = _MAX_WINDOWS * 256  # of models that read more than the one that comes ready, too
_MAX_WINDOWED_CHARACTERS = _MAX_WINDOWED_TOKENS * 8  # about twice as many as such tokens of English have
_TOKENS_OF_A_WORD = 16  # a window ends before a word, unless that has more
_CUT = 'have it cut by truncate: "END" or read in windows by long_texts: "mean"'

Treatment = Literal["refuse", "cut", "mean"]


@dataclass(frozen=True)
class LongTexts:
    """What becomes of a text that is too long.

    Attributes:
        treatment: `refuse` it, `cut` it, or take the `mean` of the vectors of windows of it, weighted by their tokens.
        max_tokens: where it is cut, special tokens included; None: at what the model reads.
        keeps_end: what is cut off is its beginning.
    """

    treatment: Treatment = "refuse"
    max_tokens: int | None = None
    keeps_end: bool = False


@dataclass(frozen=True)
class ReadText:
    """What the model reads of one text: pieces, and the tokens of each."""

    pieces: tuple[str, ...]
    tokens: tuple[int, ...]


def read_texts(
    model: Embedding, inputs: Sequence[str | Sequence[int]], prompt: str, long_texts: LongTexts
) -> list[ReadText]:
    """What a model is to read of each text; `prompt`: what it puts before them.

    Raises:
        InvalidField: for a text that is too long, by its number and its length; for tokens that are not the model's.
    """
    of_prompt = model.count_tokens([prompt])[0] - model.count_tokens([""])[0] if prompt else 0
    reads = model.max_tokens - of_prompt
    if long_texts.max_tokens is not None and long_texts.max_tokens > reads:
        raise InvalidField(
            f"truncate_prompt_tokens={long_texts.max_tokens}, and '{model.name}' reads {reads} tokens.",
            "Ask for fewer, or for -1: as many as it reads.",
            "truncate_prompt_tokens",
        )
    limit = reads if long_texts.max_tokens is None else long_texts.max_tokens
    texts = [text if isinstance(text, str) else _text_of(model, text, i) for i, text in enumerate(inputs)]
    if long_texts.treatment == "mean":
        _check_characters(texts, limit)
    else:
        texts = [_countable(text, limit, long_texts, i) for i, text in enumerate(texts)]
    counts = model.count_tokens(texts)
    if long_texts.treatment == "mean":
        _check_windows(model, counts, limit)
    read: list[ReadText] = []
    for i, (text, count) in enumerate(zip(texts, counts, strict=True)):
        if count <= limit:
            read.append(ReadText((text,), (count,)))
        elif long_texts.treatment == "refuse":
            raise _too_long(i, f"{count} tokens", f"'{model.name}' reads {limit}")
        elif long_texts.treatment == "cut":
            cut = _cut(text, _tokens_of(model), limit, keeps_end=long_texts.keeps_end)
            read.append(ReadText((cut,), (limit,)))
        else:
            read.append(_windows(text, _tokens_of(model), limit))
    return read


def joined(read: Sequence[ReadText], vectors: Vectors) -> Vectors:
    """Vectors of texts, of unit length, from those of their pieces: of several the mean, weighted by their tokens."""
    if len(vectors) == len(read):
        return vectors
    ends = np.cumsum([len(text.pieces) for text in read])[:-1]
    of_texts = zip(read, np.split(vectors, ends), strict=True)
    means = np.stack([np.average(of_text, axis=0, weights=text.tokens) for text, of_text in of_texts])
    return np.asarray(means / np.maximum(np.linalg.norm(means, axis=1, keepdims=True), 1e-12), np.float32)


def _countable(text: str, limit: int, long_texts: LongTexts, number: int) -> str:
    """A text that may have as many tokens as the limit; what is beyond is not worth counting."""
    characters = limit * CHARACTERS_A_TOKEN
    if len(text) <= characters:
        return text
    if long_texts.treatment == "refuse":
        raise _too_long(number, f"{len(text)} characters", f"the model reads {limit} tokens")
    return text[-characters:] if long_texts.keeps_end else text[:characters]


def _check_characters(texts: Sequence[str], limit: int) -> None:
    """Whether texts may be counted that are to be read in windows: those that surely need some are not too long."""
    characters = sum(len(text) for text in texts if len(text) > limit * 8)
    if characters > _MAX_WINDOWED_CHARACTERS:
        raise _too_much(f"{_MAX_WINDOWED_CHARACTERS:,} characters")


def _check_windows(model: Embedding, counts: Sequence[int], limit: int) -> None:
    """Whether texts of so many tokens have no more windows, nor tokens in them, than a request may."""
    long = [count for count in counts if count > limit]
    if not long:
        return
    tokens = _tokens_of(model)
    room = _room(tokens, limit)
    windows = len(counts) - len(long) + sum(ceil((count - tokens.special) / room) for count in long)
    if windows > max(_MAX_WINDOWS, len(counts)):
        raise _too_much(f"{_MAX_WINDOWS:,} windows of {limit} tokens")
    if sum(long) > _MAX_WINDOWED_TOKENS:
        raise _too_much(f"{_MAX_WINDOWED_TOKENS:,} tokens")


def _too_much(most: str) -> InvalidField:
    return InvalidField(f"The texts to read in windows have more than {most}.", "Send fewer at a time.", "input")


def _too_long(number: int, length: str, reads: str) -> InvalidField:
    return InvalidField(f"Input {number} has {length}, and {reads}.", f"Split it into chunks, or {_CUT}.", "input")


def _text_of(model: Embedding, ids: Sequence[int], number: int) -> str:
    text = _tokens_of(model).text_of(ids)
    if text is None:
        raise InvalidField(
            f"The tokens of input {number} are none that '{model.name}' makes of a text, special tokens included: they "
            "are of another vocabulary.",
            "Send texts; LangChain's OpenAIEmbeddings does with check_embedding_ctx_length=False.",
            "input",
        )
    return text


def _tokens_of(model: Embedding) -> TextTokens:
    tokens: TextTokens | None = getattr(model, "text_tokens", None)
    if tokens is None:
        raise InvalidField(
            f"The tokenizer of '{model.name}' is not known here: its texts cannot be cut, nor made of tokens.",
            "Send texts that are short enough.",
            "input",
        )
    return tokens


def _room(tokens: TextTokens, limit: int) -> int:
    room = limit - tokens.special
    if room < 1:
        raise InvalidField(
            f"truncate_prompt_tokens={limit} leaves nothing of a text beside its {tokens.special} special tokens.",
            "Ask for more.",
            "truncate_prompt_tokens",
        )
    return room


def _cut(text: str, tokens: TextTokens, limit: int, *, keeps_end: bool) -> str:
    """A text without what is beyond the limit at one of its ends."""
    places, room = tokens.places(text), _room(tokens, limit)
    return text[places[-room][0] :] if keeps_end else text[: places[room - 1][1]]


def _windows(text: str, tokens: TextTokens, limit: int) -> ReadText:
    """A text in windows of about the same length, each no longer than the limit."""
    places, room = tokens.places(text), _room(tokens, limit)
    size = ceil(len(places) / ceil(len(places) / room))
    pieces, counts, start = [], [], 0
    while start < len(places):
        end = _before_a_word(text, places, start, min(start + size, len(places)))
        pieces.append(text[places[start][0] : places[end - 1][1]])
        counts.append(end - start + tokens.special)
        start = end
    return ReadText(tuple(pieces), tuple(counts))


def _before_a_word(text: str, places: Sequence[tuple[int, int]], start: int, end: int) -> int:
    """The last place not after `end` where a word begins, as long as one is near: half a word has other tokens."""
    if end == len(places):
        return end
    near = range(end, max(start, end - _TOKENS_OF_A_WORD), -1)
    return next((i for i in near if _begins_a_word(text, places[i - 1][1], places[i])), end)


def _begins_a_word(text: str, end_before: int, place: tuple[int, int]) -> bool:
    """Whether a space is before a token, or in it: byte-level tokenizers count it to the word that follows."""
    return place[0] > end_before or text[place[0] : place[1]][:1].isspace()
