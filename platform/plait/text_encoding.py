"""Which encoding a text is in, told from its bytes.

In: bytes. Out: the name of a codec, or the text itself. It knows neither formats nor files.
"""


class UnknownEncoding(ValueError):
    """Bytes that are no text in any encoding; its text follows the name of what holds them, and a colon."""


def encoding_of(data: bytes) -> str:
    """The codec that decodes `data`: UTF-8, UTF-16 or UTF-32 by its mark, else the one in which it reads best.

    Raises:
        UnknownEncoding: when it reads in none, as pictures and programs do.
    """
    from charset_normalizer import from_bytes

    try:
        data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        best = from_bytes(data).best()
        if best is None:
            raise UnknownEncoding(f"it is not text in any known encoding (not UTF-8 from byte {error.start})") from None
        return best.encoding
    return "utf-8-sig"


def decode(data: bytes) -> str:
    """The text that `data` is, without its mark.

    Raises:
        UnknownEncoding: when it reads in no encoding.
    """
    return data.decode(encoding_of(data)).removeprefix("\ufeff")
