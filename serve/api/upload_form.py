"""The form of an upload, or of a part of one, with file names as clients write them.

In: multipart/form-data. Out: its file and its texts. Clients write names that are not ASCII in four ways: in UTF-8
(browsers, curl), as RFC 5987's `filename*` (urllib3, .NET), as encoded words of RFC 2047 (.NET, Java), and with `%22`,
`%0D`, `%0A` for what would end a quoted string (WHATWG: browsers, httpx). Starlette's parser reads the first, and takes
a part that has only `filename*` for a text. What is private to it is touched here alone.
"""

import re
from dataclasses import dataclass
from email.errors import HeaderParseError
from email.header import decode_header, make_header
from email.message import Message
from email.utils import collapse_rfc2231_value, quote
from typing import Any, BinaryIO
from urllib.parse import unquote

from fastapi import Request
from starlette.datastructures import FormData, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from plait.errors import InvalidField, InvalidInput

_MAX_FIELDS, MAX_PURPOSE = 8, 64
SHORTEST_EXPIRY_S, LONGEST_EXPIRY_S = 3_600, 30 * 24 * 3_600  # OpenAI's
_WHATWG = re.compile("%(22|0D|0A)", re.IGNORECASE)
_ENCODED_WORD = re.compile(r"=\?[^?]+\?[BbQq]\?[^?]*\?=")


@dataclass(frozen=True)
class UploadForm:
    """What was sent; `purpose`: 64 characters at most. `expires_after_s`: None where the form says nothing of it."""

    file: BinaryIO
    filename: str
    purpose: str
    expires_after_s: int | None = None

    async def aclose(self) -> None:
        self.file.close()


async def read_upload(request: Request, name: str = "file") -> UploadForm:
    """The form of a request, whose file is in the field `name`; close it after use.

    Raises:
        InvalidInput: for what is no form, and for one without a file, or with several.
        InvalidField: for a text that is no Unicode, and for an expiry that is none.
    """
    if not request.headers.get("content-type", "").lower().startswith("multipart/form-data"):
        raise InvalidInput(f"The form has no file in the field '{name}'.", "Send multipart/form-data with one.")
    try:
        form = await _UploadParser(request.headers, request.stream(), max_files=1, max_fields=_MAX_FIELDS).parse()
    except MultiPartException as error:
        raise InvalidInput(error.message, f"Send multipart/form-data with one file in the field '{name}'.") from None
    try:
        return _checked(form, name)
    except InvalidInput:
        await form.close()
        raise


def _checked(form: FormData, name: str) -> UploadForm:
    sent = form.get(name)
    if not isinstance(sent, UploadFile):
        raise InvalidInput(f"The form has no file in the field '{name}'.", "Send multipart/form-data with one.")
    purpose = str(form.get("purpose", "assistants"))[:MAX_PURPOSE]
    filename = sent.filename or ""
    for field, text in (("purpose", purpose), (name, filename)):
        try:  # a form may name its charset, and in UTF-7 halves of characters can be written
            text.encode()
        except UnicodeEncodeError:
            raise InvalidField(f"The field '{field}' is not Unicode.", "Send the form in UTF-8.", field) from None
    return UploadForm(sent.file, filename, purpose, _expires_after_s(form))


def _expires_after_s(form: FormData) -> int | None:
    """What clients send as `expires_after: {anchor, seconds}`."""
    anchor, seconds = (form.get(f"expires_after[{key}]") for key in ("anchor", "seconds"))
    if anchor is None and seconds is None:
        return None
    digits = seconds[:10] if isinstance(seconds, str) and seconds.isascii() and seconds.isdigit() else "0"
    if anchor != "created_at" or not SHORTEST_EXPIRY_S <= int(digits) <= LONGEST_EXPIRY_S:
        raise InvalidField(
            "The field 'expires_after' is not valid: anchor and seconds go together.",
            f"Send expires_after[anchor]=created_at and expires_after[seconds] of {SHORTEST_EXPIRY_S:,} to "
            f"{LONGEST_EXPIRY_S:,}.",
            "expires_after",
        )
    return int(digits)


class _UploadParser(MultiPartParser):
    def on_headers_finished(self) -> None:
        part = self._current_part
        part.content_disposition = with_plain_name(part.content_disposition or b"")
        super().on_headers_finished()


def with_plain_name(disposition: bytes) -> bytes:
    """A Content-Disposition whose `filename` is the name that the client meant, in UTF-8; without one, as it is."""
    try:
        text = disposition.decode()
    except UnicodeDecodeError:
        return disposition  # the parser knows the form's charset
    message = Message()
    message["Content-Disposition"] = text
    parameters: list[tuple[str, Any]] = message.get_params([], header="Content-Disposition")
    names = [value for key, value in parameters if key.lower() == "filename"]
    if not names:
        return disposition
    extended = [
        name for name in names if isinstance(name, tuple)
    ]  # of `filename*`, which is meant where there are both
    name = collapse_rfc2231_value(extended[0]) if extended else _plain(names[0])
    field = next((value for key, value in parameters if key.lower() == "name" and isinstance(value, str)), "")
    return f'form-data; name="{quote(field)}"; filename="{quote(name)}"'.encode(errors="replace")


def _plain(name: str) -> str:
    if _ENCODED_WORD.search(name):
        try:
            return str(make_header(decode_header(name)))
        except (HeaderParseError, LookupError, UnicodeError):
            return name
    return _WHATWG.sub(lambda escape: unquote(escape[0]), name)
