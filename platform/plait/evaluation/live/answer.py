"""An answer that a server gave to somebody, and what that somebody says of it.

It knows neither who serves nor where answers are kept.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field

from plait.evaluation.citation_marks import marked_citations
from plait.evaluation.live.route import Route
from plait.evaluation.sample import Sample, SamplePassage
from plait.models.message import Message


@dataclass(frozen=True)
class LivePassage(SamplePassage):
    """A passage that stood in the prompt of a live answer.

    Attributes:
        collection: that it was found in.
        content_hash: of the version of its document that was indexed then.
    """

    collection: str = ""
    content_hash: str = ""


@dataclass(frozen=True)
class LiveAnswer:
    """One answer to one request.

    Attributes:
        request_id: what the response said as `X-Request-Id`; clients may choose it, so it is unique for no more than an
            owner, if that.
        owner: whose request it was; only this owner and administrators may rate the answer.
        model: the model id that was asked for; `adapter`: the adapter's name in it, or empty.
        answered_by: the weights that answered, as in `support:3`.
        location: of weights that the admin API loaded: a version of the registry, or a place outside it; else empty.
        base_model: the source of the server's base model.
        collections: what was searched; none where nothing was.
        generations: of the collections that have one, by their names.
        tenant: whose documents were searched; empty where none were.
        conversation: what was said before the reply; the last message is the question.
        passages: what stood in the prompt, best first.
        is_grounded: whether passages were looked for, found or not.
        started_ms: when the request came, since 1970. `took_ms`: from then to the last token.
        route: how `auto` came to the arm; None: the arm was asked for.
        tokens: read and written.
    """

    request_id: str
    owner: str
    model: str
    adapter: str
    answered_by: str
    collections: tuple[str, ...]
    conversation: tuple[Message, ...]
    reply: str
    passages: tuple[LivePassage, ...]
    is_grounded: bool
    started_ms: int
    took_ms: int
    location: str = ""
    base_model: str = ""
    generations: Mapping[str, int] = field(default_factory=dict)
    tenant: str = ""
    route: Route | None = None
    tokens: int = 0

    @property
    def question(self) -> str:
        return self.conversation[-1].content

    @property
    def collection(self) -> str:
        """The collections as one name, as `plait.retrieval.collection` of an answer has it."""
        return ", ".join(self.collections)

    @property
    def sample(self) -> Sample:
        """What is judged of it. Nothing is known of the right answer."""
        return Sample(
            question=self.question,
            reply=self.reply,
            passages=self.passages,
            citations=tuple(marked_citations(self.reply, len(self.passages))),
            is_grounded=self.is_grounded,
        )


@dataclass(frozen=True)
class Rating:
    """What a person says of an answer. `value`: from 0 (bad) to 1 (good); `correction`: what the answer should be."""

    value: float
    correction: str = ""
    comment: str = ""

    @property
    def is_up(self) -> bool:
        return self.value >= 0.5


@dataclass(frozen=True)
class KeptAnswer:
    """An answer that is kept, and what was said of it; see `LiveAnswer` for the other attributes.

    What an earlier version of Plait did not record is empty.

    Attributes:
        trace_id: of its trace in MLflow.
        route: how `auto` came to the arm; None: the arm was asked for.
        said: its last rating, and what judges gave it, by metric.
    """

    request_id: str
    trace_id: str
    model: str
    adapter: str
    answered_by: str
    location: str
    base_model: str
    collections: tuple[str, ...]
    generations: Mapping[str, int]
    tenant: str
    question: str
    passages: tuple[LivePassage, ...]
    started_ms: int
    said: Mapping[str, float]
    route: Route | None = None


@dataclass(frozen=True)
class RatedAnswer:
    """An answer that is kept, with the last rating of it; see `LiveAnswer` for the other attributes."""

    model: str
    conversation: tuple[Message, ...]
    reply: str
    passages: tuple[SamplePassage, ...]
    rating: Rating

    @property
    def question(self) -> str:
        return self.conversation[-1].content


@dataclass(frozen=True)
class RoutedAnswer:
    """An answer of `auto` that is kept.

    Attributes:
        route: with the propensity of its arm.
        scores: of judges and people in [0, 1], by name; a person's is `rating`.
        tokens: read and written.
    """

    question: str
    route: Route
    scores: Mapping[str, float]
    tokens: int


def is_drawn(request_id: str, share: float) -> bool:
    """Whether a request is of the share that is judged: by a hash of its id, so that every replica says the same."""
    digest = hashlib.sha256(request_id.encode()).digest()
    return int.from_bytes(digest[:8]) < share * 2**64
