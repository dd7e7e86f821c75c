"""The sources of an answer as Open WebUI shows them: the name, text and score of each passage, in events of their own.

In: the headers of a request, and a passage that was in the prompt. Out: whether Open WebUI asks, and the event, which a
chunk without choices carries in a stream. Of OpenAI's annotations Open WebUI shows the address and the title alone, so
what it asks gets these events in their place. What it asks for itself is in client_tasks.py.
"""

from collections.abc import Iterable
from typing import Literal, Self

from pydantic import BaseModel

from plait.index.passage import Passage
from plait.serve.api.citations import CitationLinks, title_of

_HEADERS = "x-openwebui-"
"""What the names of its headers begin with: those that an administrator gives a connection, and those that
ENABLE_FORWARD_USER_INFO_HEADERS adds to every request."""


def asks(headers: Iterable[str]) -> bool:
    """Whether Open WebUI sends a request; `headers`: the names of its headers."""
    return any(name.lower().startswith(_HEADERS) for name in headers)


class Source(BaseModel):
    """`url`: the address of the document, where it has one."""

    name: str
    url: str | None = None


class SourceMetadata(BaseModel):
    """`source` tells sources apart; an address there would be shown in place of the name."""

    source: str
    name: str


class SourceData(BaseModel):
    """A source with its text. `distances`: scores, which are shown as relevance."""

    source: Source
    document: list[str]
    metadata: list[SourceMetadata]
    distances: list[float]


class SourceEvent(BaseModel):
    """An event as Open WebUI's own functions emit it."""

    type: Literal["source"]
    data: SourceData

    @classmethod
    def of(cls, passage: Passage) -> Self:
        """A passage that was in the prompt."""
        name, address = _name(passage), CitationLinks.address(passage)
        data = SourceData(
            source=Source(name=name) if address is None else Source(name=name, url=address),
            document=[passage.text],
            # Passages of one document are several sources, as marks in the text number passages.
            metadata=[SourceMetadata(source=passage.chunk_id, name=name)],
            distances=[round(passage.score, 4)],
        )
        return cls(type="source", data=data)


def _name(passage: Passage) -> str:
    """The document and the headings above the passage; the topmost heading often is the title."""
    title, heading = title_of(passage), passage.heading
    if not heading or heading == title:
        return title
    return heading if heading.startswith(f"{title} > ") else f"{title} > {heading}"
