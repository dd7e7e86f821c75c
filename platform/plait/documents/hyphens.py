"""Words that a printer hyphenated at the ends of lines, made whole.

In: the text of printed pages. Out: the same text with such words on the first of their lines. It has no dictionary: the
text itself tells how its words are written.
"""

import re

_SOFT_HYPHEN = "\u00ad"
_AT_LINE_END = re.compile(
    r"(?<![\w/.@:#-])((?:[^\W\d_]+[-\u2010])*)([^\W\d_]+)([-\u2010\u00ad])[ \t]*\n\n?"
    r"[ \t]*([^\W\d_]+)(\S*)(?:[ \t]*\n|[ \t]+|\Z)"
)
_WORDS = re.compile(r"[^\W\d_]+(?:[-\u2010][^\W\d_]+)*")
_CONJUNCTIONS = frozenset(
    {"and", "or", "to", "und", "oder", "bzw", "bis", "et", "ou", "y", "o", "e", "och", "eller", "og", "en", "of", "tai"}
)
"""After a hyphen that stands for a word to come: "pre- and post-war", "Vor- und Nachteile"."""

_FIRST_PARTS = frozenset(
    {
        *("best", "cross", "data", "double", "end", "far", "fine", "first", "four", "free", "full", "half", "hand"),
        *("hard", "high", "ill", "large", "long", "low", "machine", "multi", "non", "one", "open", "quasi", "real"),
        *("second", "self", "semi", "short", "single", "small", "state", "third", "three", "time", "two", "user"),
        *("well", "wide"),
    }
)
"""Of English compounds that mostly are written with a hyphen."""


def join_hyphenated(text: str) -> str:
    """Join words that were cut at line ends.

    Only a continuation in lower case is one. The hyphen stays where the text has the word with it elsewhere
    ("well-known"), where its first part is a single letter or an abbreviation ("e-mail", "PDF-based"), where there is
    another before it ("state-of-the-art"), or where both parts are words of the text and the whole is none.
    Soft hyphens go. Where the text does not tell, and the first part is one of English compounds ("long-term", but
    "highlight"), the line ends as it is printed: searches by words then find the parts and the whole.
    """
    if not any(hyphen in text for hyphen in ("-\n", "- \n", "\u2010", _SOFT_HYPHEN)):
        return text
    words = {word.lower() for word in _WORDS.findall(_AT_LINE_END.sub(" ", text))}

    def joined(match: re.Match[str]) -> str:
        before, first, hyphen, second, rest = match.groups()
        if not second[0].islower() or second in _CONJUNCTIONS:
            return match[0]
        is_compound = before or (first.isupper() and len(first) > 1) or _is_compound(first.lower(), second, words)
        is_known = is_compound or hyphen == _SOFT_HYPHEN or f"{first}{second}".lower() in words
        if not is_known and first.lower() in _FIRST_PARTS:
            return match[0]
        is_kept = hyphen != _SOFT_HYPHEN and is_compound
        return f"{before}{first}{'-' if is_kept else ''}{second}{rest}" + ("" if match.end() == len(text) else "\n")

    return _AT_LINE_END.sub(joined, text).replace(_SOFT_HYPHEN, "")


def _is_compound(first: str, second: str, words: set[str]) -> bool:
    if f"{first}-{second}" in words or len(first) == 1:
        return True
    return f"{first}{second}" not in words and first in words and second in words
