"""What travels between the deployments: calls in, events out. Nothing here knows HTTP."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from plait.engines.engine import FinishReason, Sampling, TokenLogprob
from plait.evaluation.live.route import Route
from plait.index.passage import Passage
from plait.model_ids import ModelId
from plait.models.message import Message
from plait.models.tools import Tool
from plait.retrieval.request import Retrieval
from plait.serve.messages.rollouts import RolloutPart, Shadow
from plait.tenants import DEFAULT_TENANT


@dataclass(frozen=True)
class Call:
    """One question: a conversation, or a bare prompt when `messages` is None: a text, or tokens.

    `template_variables`, `add_generation_prompt` and `continue_final_message` say how the conversation is written (see
    `ChatFormat`); `truncate_prompt_tokens`, `is_echoed` and `fits_answer`: see `GenerationRequest`.

    `is_streamed`: pieces of the answer are wanted as they come, else only its first token and its end. `request_id` is
    in every log line about it, `traceparent` (W3C) says which trace it belongs to, and `tenant` whose documents were
    searched. After `deadline_s` seconds from when the call is sent its answer ends. `retrieval`: how
    to retrieve, where the server's way is not meant. `cache_salt`: see `GenerationRequest`. `session`: while an adapter
    is rolled out, one version answers all requests of a session. `shadow_of`: it is a copy, whose answer nobody sees.
    `language`: of the question, as in `de`; empty: the request does not say.
    """

    model: ModelId
    sampling: Sampling
    messages: tuple[Message, ...] | None = None
    prompt: str | tuple[int, ...] = ""
    tools: tuple[Tool, ...] = ()
    passages: tuple[Passage, ...] = ()
    retrieval: Retrieval | None = None
    is_streamed: bool = False
    request_id: str = ""
    traceparent: str = ""
    tenant: str | None = None
    deadline_s: float | None = None
    cache_salt: str = ""
    language: str = ""
    template_variables: dict[str, Any] = field(default_factory=dict)
    add_generation_prompt: bool = True
    continue_final_message: bool = False
    truncate_prompt_tokens: int | None = None
    is_echoed: bool = False
    fits_answer: bool = False
    session: str = ""
    shadow_of: RolloutPart | None = None

    @property
    def is_prose(self) -> bool:
        """Whether the answer is text to read: neither held to a schema or grammar, nor maybe a call of a tool."""
        return self.sampling.constraint is None and not self.tools


@dataclass(frozen=True)
class Retrieved:
    """What was found for a question, and how long each stage took; `total` is from the question to the passages."""

    passages: tuple[Passage, ...]
    collections: tuple[str, ...]
    how: Retrieval
    timings_ms: dict[str, float]
    no_context: Literal["refused", "answered"] | None = None
    """What is done when there are no passages."""
    is_cut: bool = False
    """The question is too long: its beginning and its end were searched for, or read by the embedding model."""
    generations: Mapping[str, int] = field(default_factory=dict)
    """Of the collections that have one, by their names."""
    in_step_at: Mapping[str, float] = field(default_factory=dict)
    """When the collections last held what their sources did, in seconds since 1970, where that is known."""


@dataclass(frozen=True)
class Collection:
    """A collection that is served; documents are those of `tenant`."""

    name: str
    embedding_model: str
    dimension: int
    document_count: int
    tenant: str = DEFAULT_TENANT


@dataclass(frozen=True)
class Event:
    """The next piece of an answer. Counts are those of the whole answer so far.

    The first event names the weights that answer, where they are from (`location`, of those that the admin API loaded),
    what was retrieved and the passages that fitted into the prompt, and the route where the request was for `auto`; the
    last one has a `finish_reason`, the `part` in a rollout of the version that answered, and the `shadow` that shall be
    answered unseen. `logprobs` are those of the tokens since the last event. `prompt_logprobs` and `prompt_text` come
    with the first event, where they are asked for.
    """

    text: str
    prompt_tokens: int
    generated_tokens: int
    finish_reason: FinishReason | None = None
    answered_by: str = ""
    passages: tuple[Passage, ...] = ()
    retrieved: "Retrieved | None" = None
    route: Route | None = None
    cached_tokens: int = 0
    queue_s: float = 0.0
    logprobs: tuple[TokenLogprob, ...] = ()
    prompt_logprobs: tuple[TokenLogprob, ...] = ()
    prompt_text: str = ""
    stop_string: str = ""
    location: str = ""
    part: RolloutPart | None = None
    shadow: Shadow | None = None


def answering(call: Call, first: Event | None) -> ModelId:
    """The model id that answers: the one that is asked for, or the arm that was chosen for `auto`.

    Args:
        first: the answer's first event, which names the arm; None: it has not come.
    """
    return call.model if first is None or first.route is None else ModelId.parse(first.route.arm)


@dataclass(frozen=True)
class Tokens:
    """A prompt as the model reads it."""

    ids: tuple[int, ...]
    max_context_tokens: int


@dataclass(frozen=True)
class TokenizerInfo:
    """What transformers' tokenizer_config.json says of a tokenizer; None: the tokenizer has no such token."""

    tokenizer_class: str
    bos_token: str | None
    eos_token: str | None
    pad_token: str | None
    unk_token: str | None
    chat_template: str | None
