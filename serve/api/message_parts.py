"""Parts of a message that are no text: refused by what they are, with what to send instead."""

from pydantic import BeforeValidator

from plait.serve.api.request_body import only_types

_UPLOAD = "upload it to /v1/files and ask a model that begins with rag/"
_UNREAD = {
    "image": ("images", "say in words what it shows"),
    "audio": ("audio", "send its transcript"),
    "video": ("videos", "say in words what it shows"),
    "file": ("files", f"send its text, or {_UPLOAD}"),
    "document": ("documents", f"send its text, or {_UPLOAD}"),
    "search": ("search results as such", "send their text"),
    "container": ("files of containers", "send their text"),
}
"""What stands in the name of a part's type: OpenAI's `image_url`, `input_audio`, `file`, Anthropic's `image`, …"""


def only_parts(*known: str) -> BeforeValidator:
    """Marks parts of a message that are of some types; what is known to be no text is refused by what it is."""

    def because(kind: str) -> str:
        for name, (what, instead) in _UNREAD.items():
            if name in kind.split("_"):
                return f"'{kind}': the model reads no {what}; {instead}"
        return f"'{kind}' is not supported; send {' or '.join(known)}"

    return only_types(known, because)
