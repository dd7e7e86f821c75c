"""One choice of an answer as it grows: its text, its log-probabilities, its citations, the tools it calls.

In: events of one call. Out: what is new to send, and what there is in all. It knows neither ids nor streams.
"""

import codecs
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from plait.engines.engine import TokenLogprob
from plait.models.message import ToolCall
from plait.retrieval.verbatim import repeated
from plait.serve.api.citations import Citation, CitationLinks
from plait.serve.api.generation_answers import ChatLogprob, ChatLogprobs, TextLogprobs, TopLogprob
from plait.serve.api.inline_citations import InlineCitations
from plait.serve.api.tool_calls import ToolCallReader
from plait.serve.messages.calls import Event


@dataclass
class Choice:
    """What the events of one call have said so far.

    `reader` finds the calls of tools, where there may be any. `is_marked`: whether its text shows what it cites.
    """

    index: int
    is_chat: bool
    has_logprobs: bool = False
    reader: ToolCallReader | None = None
    links: CitationLinks = field(default_factory=CitationLinks)
    is_marked: bool = False
    answer: str = ""
    """What the model says."""
    text: str = ""
    """The same as it is sent, with the marks of citations."""
    tool_calls: tuple[ToolCall, ...] = ()
    logprobs: list[TokenLogprob] = field(default_factory=list)
    first: Event | None = None
    last: Event = field(default_factory=lambda: Event("", 0, 0))
    _marks: InlineCitations | None = None
    # A character counts with the token that ends it, whichever events its tokens come in.
    _offsets: list[int] = field(default_factory=list)
    _characters: int = 0
    _decoder: codecs.IncrementalDecoder = field(
        default_factory=lambda: codecs.getincrementaldecoder("utf-8")(errors="replace")
    )

    def add(self, event: Event) -> str:
        """Take the next event; returns the text to send for it."""
        self.first = self.first or event
        self.last = event
        self.logprobs += event.logprobs
        for token in event.logprobs:
            self._offsets.append(self._characters)
            self._characters += len(self._decoder.decode(token.utf8))
        text = event.text
        if self.reader is not None:
            text = self.reader.push(text)
            if event.finish_reason:
                rest, self.tool_calls = self.reader.end()
                text += rest
        if self.is_chat and not self.text:
            text = text.lstrip()  # the space between "Answer:" and the answer belongs to the format
        self.answer += text
        if self.is_marked and self._marks is None and self.first.passages:
            self._marks = InlineCitations(self.first.passages, self._urls())
        if self._marks is not None:
            text = self._marks.push(text) + (self._marks.end() if event.finish_reason else "")
        self.text += text
        return text

    def citations(self) -> list[Citation]:
        """The passages that were in the prompt, best first, each about the words that repeat it, or the whole text."""
        if self.first is None:
            return []
        cited = []
        for i, (passage, url) in enumerate(zip(self.first.passages, self._urls(), strict=True)):
            repeats = repeated(self.answer, passage)
            place = (repeats.answer_start, repeats.answer_end) if repeats else (0, len(self.answer))
            if self._marks is not None:
                place = self._marks.place_in_sent(*place)
            cited.append(Citation.of(passage, i, url, place, repeats))
        return cited

    def _urls(self) -> list[str]:
        if self.first is None or self.first.retrieved is None:
            return []
        collection = self.first.retrieved.collection
        return [self.links.url(passage, collection) for passage in self.first.passages]

    @property
    def finish_reason(self) -> Literal["stop", "length", "tool_calls"] | None:
        """OpenAI's word for why it ended; None: it goes on."""
        reason = self.last.finish_reason
        if reason is None:
            return None
        if reason != "stop":
            return "length"  # cut off, by max_tokens or by the deadline
        return "tool_calls" if self.tool_calls else "stop"

    def chat_logprobs(self, tokens: Sequence[TokenLogprob]) -> ChatLogprobs | None:
        """Those of some tokens, as chat shows them."""
        if not self.has_logprobs:
            return None
        return ChatLogprobs(
            content=[
                ChatLogprob(**_token(t).model_dump(), top_logprobs=[_token(likely) for likely in t.top]) for t in tokens
            ]
        )

    def text_logprobs(self, first: int) -> TextLogprobs | None:
        """Those of the tokens from `first` on, as completions show them."""
        if not self.has_logprobs:
            return None
        tokens = self.logprobs[first:]
        return TextLogprobs(
            tokens=[t.token for t in tokens],
            token_logprobs=[t.logprob for t in tokens],
            top_logprobs=[{likely.token: likely.logprob for likely in t.top} for t in tokens],
            text_offset=self._offsets[first:],
        )


def _token(token: TokenLogprob) -> TopLogprob:
    return TopLogprob(token=token.token, logprob=token.logprob, bytes=list(token.utf8))
