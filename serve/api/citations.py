"""Citations of an answer: the passages that were in its prompt, in OpenAI's shape of a cited address, with our fields.

In: passages, an answer, and how its client reached this server. Out: annotations, each with an address that can be
opened: the source's own, or that of the passage here. Where passages are served from is in passages.py.
"""

from dataclasses import dataclass
from typing import Literal, Self
from urllib.parse import quote, urlencode

from pydantic import BaseModel

from plait.documents.uploads.uploaded_files import uploaded_as
from plait.index.passage import Passage
from plait.retrieval.verbatim import Verbatim

_WEB = ("http://", "https://")


class UrlCitation(BaseModel):
    """OpenAI's. `start_index` and `end_index`: the characters of the answer that it is about, the end not included."""

    url: str
    title: str
    start_index: int
    end_index: int


class FileCitation(BaseModel):
    """OpenAI's, of an uploaded file. `index`: of the citation among those of the answer."""

    file_id: str
    filename: str
    index: int


class Quote(BaseModel):
    """Words of the source that the answer repeats; `start` and `end`: where they are in its cleaned text."""

    start: int
    end: int
    text: str


class Citation(BaseModel):
    """A passage that was in the prompt. `start` and `end`: characters in the cleaned text of `source`.

    `quote`: the longest run of words that the answer has from it; null where it repeats none.
    """

    # Clients of OpenAI know one type of annotation in chat, and some fail at any other: what is a file is so by a key.
    type: Literal["url_citation"] = "url_citation"
    url_citation: UrlCitation
    file_citation: FileCitation | None = None
    chunk_id: str
    source: str
    title: str
    heading: str
    start: int
    end: int
    score: float
    text: str
    quote: Quote | None = None

    @classmethod
    def of(cls, passage: Passage, index: int, url: str, place: tuple[int, int], repeats: Verbatim | None) -> Self:
        """`index`: among the citations of the answer; `place`: characters of the answer that it is about."""
        file = uploaded_as(passage.source)
        return cls(
            type="url_citation",
            url_citation=UrlCitation(url=url, title=title_of(passage), start_index=place[0], end_index=place[1]),
            file_citation=FileCitation(file_id=file[0], filename=file[1], index=index) if file else None,
            chunk_id=passage.chunk_id,
            source=passage.source,
            title=passage.title,
            heading=passage.heading,
            start=passage.start,
            end=passage.end,
            score=round(passage.score, 4),
            text=passage.text,
            quote=repeats and Quote(start=repeats.start, end=repeats.end, text=repeats.text),
        )


def title_of(passage: Passage) -> str:
    """What a reader calls the source."""
    file = uploaded_as(passage.source)
    return passage.title or (file[1] if file else passage.source)


@dataclass(frozen=True)
class CitationLinks:
    """Addresses of cited passages. `base_url`: this server's, without a slash at the end.

    `tenant`: whose passages they are, where the request says it.
    """

    base_url: str = ""
    tenant: str | None = None

    @staticmethod
    def address(passage: Passage) -> str | None:
        """The address of the source: its name, or `url` of its metadata; None where neither is one."""
        for address in (passage.source, passage.metadata.get("url")):
            if isinstance(address, str) and address.startswith(_WEB):
                return address
        return None

    def url(self, passage: Passage) -> str:
        """The address of the source where it has one, else of the passage on this server."""
        address = self.address(passage)
        if address is not None:
            return address
        path = f"/v1/vector_stores/{quote(passage.collection, safe='')}/passages/{quote(passage.chunk_id, safe='')}"
        return self.base_url + path + (f"?{urlencode({'tenant': self.tenant})}" if self.tenant is not None else "")
