"""The words of a text as BM25 indexes them and looks for them: one normal form for documents and questions.

In: a text of any language. Out: the same words, written so that the plain analyzer of any search engine, which cuts at
blanks and punctuation and lowers case, tells them apart. It is made of what is indexed and of what is asked alike, so
it does not depend on the server. The stored text stays as it is.
"""

import unicodedata
from itertools import pairwise

import regex

VERSION = "1"
"""Counts up when a text gets other words than before: what was written then would not be found any more."""

_WORD = regex.compile(r"[\p{L}\p{N}]")
_FROM_WORD_TO_WORD = regex.compile(r"[\p{L}\p{N}](?:.*[\p{L}\p{N}])?", regex.DOTALL)
# A printed line may end within a word. It may be a compound as well, so its parts stay beside the whole.
_HYPHENATED = regex.compile(r"(?<!\p{L})(\p{L}++)[-\u2010\u00ad][ \t]*\r?\n[ \t]*(\p{Ll}\p{L}*)")
# Soft hyphens, zero-width characters, variation selectors: nobody sees them. Points of Hebrew and Arabic are optional,
# and a tatweel only stretches a word.
_UNSEEN = regex.compile(
    r"[\p{Default_Ignorable_Code_Point}\u0591-\u05bd\u05bf\u05c1\u05c2\u05c4\u05c5\u05c7\u0640\u064b-\u065f\u0670]+"
)
_APOSTROPHE = regex.compile("[\u2018\u2019\u02bc\u00b4\u2032]")
_TRADE_MARK = regex.compile("[\u2122\u2120]")  # NFKC makes letters of it, at the end of a name
# NFKC makes plain digits of superscripts, subscripts and fractions: "10⁶" is no 106, and "1½" no 11/2.
_SMALL_NUMBER = regex.compile(r"(?<=\p{Nd})(?=\p{No})")
# What follows is for texts with more than Latin letters and signs.
_NOT_LATIN = regex.compile("[\u0300-\u1dff\u2c00-\U0010ffff]")
_MARK = regex.compile(r"\p{M}")
_STRAY_MARK = regex.compile(r"(?<![\p{L}\p{N}\p{M}_])\p{M}+")
# Han, kana and scripts of South East Asia have no blanks between words; Korean has, but particles stick to its words.
# A run ends where the script changes: in Japanese that mostly is the end of a word.
_UNSPACED = regex.compile(
    "|".join(
        rf"(?:[{script}]\p{{M}}*+)++"
        for script in (
            r"\p{Han}",
            r"\p{Hiragana}\u30fc",
            r"\p{Katakana}\u30fc",
            r"\p{Hangul}",
            r"\p{Thai}",
            r"\p{Lao}",
            r"\p{Khmer}",
            r"\p{Myanmar}",
        )
    )
)
_HAN = regex.compile(r"\p{Han}")
_CHARACTER = regex.compile(r"\X")  # what a reader takes for one, with its marks
# Analyzers do not agree on whether a mark (a vowel of Hindi) is part of a word.
_MARKED = regex.compile(r"[\p{L}\p{N}_]++\p{M}[\p{L}\p{N}\p{M}_]*+")


def has_words(text: str) -> bool:
    """There is a letter or a digit of any script in it, so there is something to look for."""
    return _WORD.search(text) is not None


def from_word_to_word(text: str) -> str:
    """The text from its first letter or digit to its last; empty where it has none."""
    match = _FROM_WORD_TO_WORD.search(text)
    return match[0] if match else ""


def analyzed(text: str) -> str:
    """The text for an analyzer, in a document and in a question.

    It has one form for what looks alike (Unicode's NFKC and case folding, without what nobody sees), whole words where
    a hyphen and a line's end part them, and overlapping pairs of characters (for Han also single ones) where there
    are no blanks between words: Nie et al. 2000, On the use of words and n-grams for Chinese information retrieval.
    ASCII stays as it is.
    """
    text = _HYPHENATED.sub(r"\g<0> \1\2", text)
    if text.isascii():
        return text
    text = _TRADE_MARK.sub(" ", _APOSTROPHE.sub("'", _UNSEEN.sub("", text)))
    text = _SMALL_NUMBER.sub(" ", text)
    text = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    if not _NOT_LATIN.search(text):
        return text
    text = _STRAY_MARK.sub("", text.replace("i\u0307", "i"))  # the capital of a Turkish i
    text = _UNSPACED.sub(_pairs, text)
    return _MARKED.sub(lambda word: f"u{_code(word[0])}", text) if _MARK.search(text) else text


def within(most_bytes: int, text: str) -> str:
    """An analyzed text that fits a field: of a longer one, each word once, so that none is lost at its end.

    A chunk of some thousand characters without blanks is longer, for each makes a word of its own.
    """
    if len(text.encode()) <= most_bytes:
        return text
    each_once = " ".join(dict.fromkeys(text.split()))
    return each_once.encode()[:most_bytes].decode(errors="ignore")


def _pairs(run: "regex.Match[str]") -> str:
    characters = _CHARACTER.findall(run[0]) if _MARK.search(run[0]) else run[0]
    codes = [_code(character) for character in characters]
    if len(codes) == 1:
        return f" u{codes[0]} "
    words = [f"u{first}{second}" for first, second in pairwise(codes)]
    if _HAN.match(run[0]):
        words += [f"u{code}" for code in codes]
    return f" {' '.join(words)} "


def _code(text: str) -> str:
    """ASCII letters and digits: with a letter before them, every analyzer leaves them whole."""
    return text.encode("utf-16-be").hex()
