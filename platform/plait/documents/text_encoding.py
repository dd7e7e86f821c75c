"""Which encoding a text is in: what its mark or the text itself declares, else what its bytes look like.

In: bytes. Out: the name of a codec and whether it is a guess, or the text itself. It knows neither formats nor files.
Guesses are those of Firefox (chardetng, by Henri Sivonen), which tells a few words of Swedish, Polish or Chinese apart;
charset-normalizer, which looks for order in whole files, took most short Western texts for Central European ones.
"""

import codecs
import re
from dataclasses import dataclass
from itertools import pairwise

_MARKS = (  # UTF-32's begins with UTF-16's
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
    (codecs.BOM_UTF8, "utf-8-sig"),
)
_NO_CHARSETS = frozenset({"charmap", "idna", "punycode", "unicode_escape", "raw_unicode_escape"})
_ESCAPES = (b"\x1b$", b"\x1b(")  # of ISO 2022, which has 7 bits and would pass for UTF-8
# What browsers read when a page declares these, because what is so declared mostly has the characters added later.
_WIDER = {
    **dict.fromkeys(("ascii", "iso8859-1"), "cp1252"),
    **dict.fromkeys(("gb2312", "gbk"), "gb18030"),
    "iso8859-9": "cp1254",
    "iso8859-11": "cp874",
    "tis-620": "cp874",
    "shift_jis": "cp932",
    "euc_kr": "cp949",
    "big5": "big5hkscs",
}
_NAMES = {"windows-874": "cp874", "iso-8859-8-i": "iso8859-8", "x-mac-cyrillic": "mac-cyrillic"}
"""Names of the web's that Python does not know."""

_DECLARED_IN = 1024  # bytes: where browsers look for it
_DECLARATIONS = re.compile(
    rb"""<\?xml[^>]+?encoding\s*=\s*["']([\w.:-]+)|<meta[^>]+?charset\s*=\s*["']?\s*([\w.:-]+)"""
    rb"""|^(?:.*\n)?[ \t\f]*\#.*?coding[:=][ \t]*([\w.-]+)""",
    re.IGNORECASE,
)
_LOOKED_AT = 2**20
_CJK = frozenset({"cp932", "euc_jp", "gb18030", "big5hkscs", "cp949"})
_RARE = frozenset({"iso8859-2", "iso8859-4", "iso8859-10", "iso8859-13", "iso8859-14", "iso8859-16"})
_MOST_STRANGE = 0.01  # share of a text's characters
_NO_TEXT = re.compile("[\0-\x08\x0e-\x1a\x1c-\x1f\x7f-\x84\x86-\x9f\ue000-\uf8ff\ufffd]")


class UnknownEncoding(ValueError):
    """Bytes that are no text in any encoding; its text follows the name of what holds them, and a colon."""


@dataclass(frozen=True)
class Encoding:
    """An encoding that decodes some bytes.

    Attributes:
        codec: its name in Python.
        is_guessed: neither a mark nor the text says so, and it is not UTF-8.
        errors: `replace` where some bytes are of no encoding that fits the rest, else `strict`.
    """

    codec: str
    is_guessed: bool = False
    errors: str = "strict"

    @property
    def caution(self) -> str:
        """What a reader should know about it, as a clause; empty where it is sure."""
        if self.is_guessed:
            return f"read as {self.codec} (guessed): save it as UTF-8 if words look wrong"
        return f"it has bytes that are not {self.codec}: they were read as �" if self.errors == "replace" else ""


def decode(data: bytes) -> str:
    """The text that `data` is, without its mark.

    Raises:
        UnknownEncoding: when it reads in no encoding.
    """
    encoding = encoding_of(data)
    return data.decode(encoding.codec, encoding.errors).removeprefix("\ufeff")


def encoding_of(data: bytes) -> Encoding:
    """The encoding of a text.

    A mark decides; then whether it is UTF-8; then what an XML, HTML or Python text declares; then what it looks like.

    Raises:
        UnknownEncoding: when it reads in none, as pictures and programs do.
    """
    for mark, codec in _MARKS:
        if data.startswith(mark):
            return Encoding(codec, errors=_errors(data, codec))
    if any(escape in data for escape in _ESCAPES):
        for codec in ("iso2022_jp_ext", "iso2022_kr"):
            if _decodes(data, codec):
                return Encoding(codec)
    if b"\0" in data and (codec := _wide_without_mark(data)):
        return Encoding(codec, is_guessed=True)
    if _decodes(data, "utf-8"):
        return Encoding("utf-8")
    declared = _declared(data)
    if declared and _decodes(data, declared):
        return Encoding(declared)
    return _guess(data)


def _decodes(data: bytes, codec: str) -> bool:
    try:
        data.decode(codec)
    except UnicodeError:
        return False
    return True


def _errors(data: bytes, codec: str) -> str:
    return "strict" if _decodes(data, codec) else "replace"


def _wide_without_mark(data: bytes) -> str:
    """UTF-16 of a text whose characters are mostly below U+0100, so that every second byte is 0; else empty."""
    head = data[:_LOOKED_AT]
    half = len(head) // 2
    for codec, zeros, others in (("utf-16-le", head[1::2], head[::2]), ("utf-16-be", head[::2], head[1::2])):
        if not others.count(0) and zeros.count(0) > half / 2 and _decodes(data, codec):
            return codec
    return ""


def _declared(data: bytes) -> str:
    match = _DECLARATIONS.search(data[:_DECLARED_IN])
    name = next((group for group in match.groups() if group), b"").decode("ascii", "replace") if match else ""
    codec = _python_name(name)
    return "" if codec.startswith("utf-") else codec  # it is not, or it would have been read


def _python_name(name: str) -> str:
    """Python's name of an encoding, or of the one that browsers read for it; empty where it has none."""
    try:
        found = codecs.lookup(_NAMES.get(name.lower(), name))
        b"a".decode(found.name)  # some codecs make no text
    except (LookupError, ValueError):
        return ""
    return "" if found.name.replace("-", "_") in _NO_CHARSETS else _WIDER.get(found.name, found.name)


def _guess(data: bytes) -> Encoding:
    from chardetng_py import EncodingDetector

    as_utf8 = data.decode("utf-8", "replace")
    if _is_nearly_utf8(as_utf8):
        return Encoding("utf-8", errors="replace")
    first = next(place for place, byte in enumerate(data) if byte > 127) if not data.isascii() else 0
    detector = EncodingDetector()
    detector.feed(data[max(0, first - _LOOKED_AT // 2) : first + _LOOKED_AT // 2], last=True)
    codec = _likelier(data, _python_name(detector.guess(tld=None, allow_utf8=False)))
    errors = _errors(data, codec)
    text = data.decode(codec, errors)
    if len(_NO_TEXT.findall(text)) > _MOST_STRANGE * len(text):
        raise UnknownEncoding("it is not text in any known encoding")
    return Encoding(codec, is_guessed=True, errors=errors)


def _is_nearly_utf8(text: str) -> bool:
    """It has characters that only UTF-8 gives, and ten times as many as bytes that are none."""
    strange = text.count("\ufffd")
    return len(text) - len(text.encode("ascii", "ignore")) > 10 * strange


def _likelier(data: bytes, codec: str) -> str:
    """Windows-1252 where what speaks for another code page is thin; it is by far the most frequent.

    Rules beside those of chardetng: a sign that touches no letter ("£9", "± 3") is no letter, Chinese characters that
    all stand alone are no words, and two letters are too few for an ISO 8859 that hardly anybody used.
    """
    if not codec or codec == "cp1252" or not _decodes(data, "cp1252"):
        return codec or "cp1252"
    if codec in _CJK:
        text = data.decode(codec, "replace")
        words = any(ord(one) > 127 and ord(other) > 127 for one, other in pairwise(text))
        return codec if words else "cp1252"
    pairs = {(byte, bytes([byte]).decode(codec, "replace")) for byte in set(data) if byte > 127}
    differing = {letter for byte, letter in pairs if letter != bytes([byte]).decode("cp1252", "replace")}
    if codec in _RARE and len(differing) <= 2:
        return "cp1252"
    letters = {letter for letter in differing if letter.isalpha()}
    touching = (
        (one in letters and other.isalpha()) or (other in letters and one.isalpha())
        for one, other in pairwise(data.decode(codec, "replace"))
    )
    return codec if any(touching) or not letters else "cp1252"
