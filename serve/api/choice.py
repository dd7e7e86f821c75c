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
from plait.serve.api.generation_answers import (
    ChatLogprob,
    ChatLogprobs,
    PromptToken,
    PromptTokens,
    TextLogprobs,
    TopLogprob,
)
from plait.serve.api.inline_citations import InlineCitations
from plait.serve.api.tool_calls import ToolCallReader
from plait.serve.messages.calls import Event


@dataclass
class Choice:
    """What the events of one call have said so far.

    `logprobs_shown`: the likeliest tokens that are shown beside each, where log-probabilities are. `names_ids`: whether
    they name tokens by their ids. `is_echoed`: whether its text begins with the prompt. `keeps_spaces`: whether it goes
    on with a text, so that spaces at its beginning are its own. `reader` finds the calls of tools, where there may be
    any. `is_marked`: whether its text shows what it cites.
    """

    index: int
    is_chat: bool
    logprobs_shown: int | None = None
    names_ids: bool = False
    is_echoed: bool = False
    keeps_spaces: bool = False
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
        is_beginning = self.first is None
        self.first = self.first or event
        self.last = event
        text = event.text
        if is_beginning and self.is_echoed:
            text = event.prompt_text + text
            self._add_logprobs(event.prompt_logprobs)
        self._add_logprobs(event.logprobs)
        if self.reader is not None:
            text = self.reader.push(text)
            if event.finish_reason:
                rest, self.tool_calls = self.reader.end()
                text += rest
        if self.is_chat and not self.keeps_spaces and not self.text:
            text = text.lstrip()  # the space between "Answer:" and the answer belongs to the format
        self.answer += text
        if self.is_marked and self._marks is None and self.first.passages:
            self._marks = InlineCitations(self.first.passages, self._urls())
        if self._marks is not None:
            text = self._marks.push(text) + (self._marks.end() if event.finish_reason else "")
        self.text += text
        return text

    def _add_logprobs(self, tokens: Sequence[TokenLogprob]) -> None:
        if self.logprobs_shown is None:
            return
        self.logprobs += tokens
        for token in tokens:
            self._offsets.append(self._characters)
            if token.is_text:
                self._characters += len(self._decoder.decode(token.utf8))

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
        return [] if self.first is None else [self.links.url(passage) for passage in self.first.passages]

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
        if self.logprobs_shown is None:
            return None
        return ChatLogprobs(
            content=[
                ChatLogprob(**self._token(t).model_dump(), top_logprobs=[self._token(likely) for likely in t.top])
                for t in tokens
            ]
        )

    def text_logprobs(self, first: int) -> TextLogprobs | None:
        """Those of the tokens from `first` on, as completions show them."""
        if self.logprobs_shown is None:
            return None
        tokens = self.logprobs[first:]
        return TextLogprobs(
            tokens=[self._name(t) for t in tokens],
            token_logprobs=[t.logprob for t in tokens],
            top_logprobs=[self._likeliest(t, self.logprobs_shown) for t in tokens],
            text_offset=self._offsets[first:],
        )

    def prompt_logprobs(self, shown: int) -> PromptTokens:
        """Those of the prompt, with so many of the likeliest tokens beside each."""
        told = self.first.prompt_logprobs if self.first is not None else ()
        return [
            None
            if t.logprob is None
            else {
                str(one.token_id): PromptToken(logprob=one.logprob or 0.0, rank=one.rank, decoded_token=one.token)
                for one in (t, *t.top[:shown])
            }
            for t in told
        ]

    def _likeliest(self, token: TokenLogprob, shown: int) -> dict[str, float] | None:
        """The likeliest tokens at a token's place, and itself; of those that read alike the likeliest."""
        if token.logprob is None:
            return None
        likeliest: dict[str, float] = {}
        for one in (*token.top[:shown], token):
            likeliest.setdefault(self._name(one), one.logprob or 0.0)
        return likeliest

    def _token(self, token: TokenLogprob) -> TopLogprob:
        return TopLogprob(token=self._name(token), logprob=token.logprob or 0.0, bytes=list(token.utf8))

    def _name(self, token: TokenLogprob) -> str:
        return f"token_id:{token.token_id}" if self.names_ids else token.token
