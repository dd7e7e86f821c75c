"""The arguments of the serving application, as they stand under `args` in a Serve configuration."""

from collections.abc import Callable
from dataclasses import replace
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, StringConstraints, field_validator, model_validator

from plait.engines.settings import EngineSettings
from plait.errors import InvalidInput
from plait.model_ids import AdapterRef, ModelId
from plait.models.long_texts import Treatment
from plait.recipes import BUDGET_TOKENS, DocumentLimits
from plait.recipes.judging import JudgeConfig, JudgeEndpoint
from plait.recipes.prices import ALL_ARMS, TokenPrice
from plait.retrieval.request import Retrieval
from plait.section import Section
from plait.serve.messages.job_arguments import BatchArguments, FineTuningArguments
from plait.serve.messages.routing_arguments import RoutingArguments

PriceOf = Callable[[ModelId], TokenPrice | None]
"""What the tokens of a model id cost; None: nobody says."""


def no_price(model: ModelId) -> None:
    """Where there are no prices."""


class AutoscalingArguments(Section):
    """How many replicas there are, by how much there is to do."""

    min_replicas: int = Field(1, ge=0, description="0: none while nobody asks; the first request waits for a start.")
    max_replicas: int = Field(2, ge=1)
    target_ongoing_requests: float = Field(
        8, gt=0, description="Requests a replica has, running or waiting, on average; as many as its batch holds."
    )
    upscale_delay_s: float = Field(5, ge=0, description="How long there must be more before a replica is added.")
    downscale_delay_s: float = Field(300, ge=0, description="How long there must be fewer before one is removed.")

    @model_validator(mode="after")
    def _is_a_range(self) -> Self:
        if self.min_replicas > self.max_replicas:
            raise ValueError("min_replicas is above max_replicas")
        return self


class LLMArguments(EngineSettings):
    """The base model, the engine that runs it, and its replicas."""

    chat_format: str = Field("auto", description="auto: the model's own template, else the format named 'plain'.")
    stream_interval: int = Field(4, ge=1, description="Tokens of a piece of a streamed answer, after the first token.")
    num_cpus: float = Field(0.5, ge=0, description="Logical CPUs that Ray reserves; torch uses every core.")
    replicas: int = Field(1, ge=1, description="Without autoscaling.")
    autoscaling: AutoscalingArguments | None = Field(None, description="null: always `replicas`.")
    max_queue_imbalance: float = Field(
        1.25, ge=1, description="A replica takes its own adapters' requests up to this multiple of the mean load."
    )

    preload: tuple[str, ...] = Field((), description="Adapters that a replica loads before it takes requests.")
    pinned: tuple[str, ...] = Field((), description="Adapters that are loaded ahead and never evicted.")
    max_loaded_bytes: int = Field(8 * 2**30, ge=1, description="Bytes of their weights.")
    max_adapter_loads: int = Field(4, ge=1, description="Adapters that a replica fetches and reads at the same time.")
    max_rank: int = Field(256, ge=1, description="An adapter of a higher rank is refused.")
    max_adapter_bytes: int = Field(2 * 2**30, ge=1, description="One whose weights take more bytes is refused.")
    adapter_stores: tuple[str, ...] = Field(
        (),
        description="Where the admin API may load from, besides the registry and PLAIT_HOME/adapters: folders, "
        "s3://bucket/prefix, gs://…, hub:org, hub:*.",
    )
    adapter_cache_bytes: int = Field(20 * 2**30, ge=0, description="Downloaded adapters that stay on disk.")

    @property
    def max_requests(self) -> int:
        """As many as all replicas together run and let wait."""
        replicas = self.autoscaling.max_replicas if self.autoscaling else self.replicas
        return (self.max_batch_size + self.max_waiting) * replicas

    @field_validator("preload", "pinned")
    @classmethod
    def _are_names(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        for name in names:
            try:
                AdapterRef.parse(name)
            except InvalidInput as error:
                raise ValueError(str(error)) from None
        return names


class RetrievalArguments(Retrieval):
    """The indexes that `rag/…` answers from, and how they are searched unless a request says otherwise."""

    collection: str = Field("default", description="Milvus collection, where a request names none.")
    more_collections: list[str] = Field([], description="Others that requests may name, of the same embedding model.")
    budget_tokens: int = Field(BUDGET_TOKENS, ge=16, description="Tokens that the passages of a prompt may take.")
    no_context: Literal["refuse", "answer"] = Field(
        "refuse", description="When nothing is found: say only that, or let the model answer after a notice."
    )
    limits: DocumentLimits = Field(DocumentLimits(), description="What reading one uploaded file may take.")
    max_made_collections: int = Field(
        100, ge=0, description="Collections that clients may make over the API, all of them together."
    )
    num_cpus: float = Field(0.1, ge=0)

    @property
    def collections(self) -> tuple[str, ...]:
        """All of them, the first one first."""
        return tuple(dict.fromkeys((self.collection, *self.more_collections)))


class EmbeddingArguments(Section):
    """The model behind /v1/embeddings and behind retrieval."""

    model: str | None = Field(None, description="Model source; null: the collection's, or the ready one without one.")
    long_texts: Treatment = Field(
        "refuse",
        description="What /v1/embeddings does with a text that is longer than the model reads, unless a request says: "
        "refuse it, cut it at its end, or take the mean of the vectors of windows of it.",
    )
    num_cpus: float = Field(0.1, ge=0, description="Logical CPUs that Ray reserves; torch uses every core.")


class RerankArguments(Section):
    """The cross-encoder behind /v1/rerank and `rerank: cross-encoder`."""

    model: str = Field(description="Model source of any sentence-transformers cross-encoder with one score.")
    num_cpus: float = Field(0.1, ge=0)


class RequestLimits(Section):
    """How large a request may be, and how slowly it may come. What is more is refused before it is parsed."""

    body_bytes: int = Field(
        4 * 2**20, ge=1024, description="Of a JSON body; a prompt of 128,000 tokens takes about half a MiB."
    )
    batch_body_bytes: int = Field(
        16 * 2**20, ge=1024, description="Of a JSON body of many texts: embeddings, rerank, file batches."
    )
    body_values: int = Field(
        50_000, ge=100, description="Texts, numbers, lists and objects of a JSON body, one in another included."
    )
    body_timeout_s: float = Field(
        30.0, gt=0, description="Seconds that a client may be behind while it sends a body, at 16 KiB a second."
    )


class ResponseArguments(Section):
    """What is kept of /v1/responses for one API key: for GET, and for requests that continue a conversation."""

    max_count: int = Field(10_000, ge=0, description="Responses; beyond it the oldest go. 0: nothing is kept.")
    max_bytes: int = Field(256 * 2**20, ge=0, description="Of all of them, each with its conversation.")
    max_age_days: float = Field(30.0, gt=0)
    max_background: int = Field(
        100, ge=0, description="Answers that a replica of the API makes in the background, those that wait included."
    )


class JudgingArguments(JudgeConfig):
    """Which answers are judged after they were given, and how. A judge that is a model without `base_url` is one of
    this server's, asked one thing at a time."""

    share: float = Field(0.0, ge=0, le=1, description="Share of the answers of chat that are judged, by request id.")
    metrics: tuple[str, ...] = Field(
        ("faithfulness", "answer_relevance"), min_length=1, description="Those that need no expected answer."
    )
    max_waiting: int = Field(100, ge=1, description="Answers that wait to be judged; what is more is dropped.")
    timeout_s: float = Field(60.0, gt=0, description="Seconds that one metric of one answer may take.")


class AnswerArguments(Section):
    """Which answers are kept, as traces of MLflow: with question, passages, scores and what people say of them."""

    keep: Literal["none", "judged", "all"] = Field(
        "none", description="Answers of chat that are kept, and can be rated by /v1/feedback. They may be personal."
    )
    max_age_days: float = Field(30.0, gt=0, description="Older ones are deleted, with their ratings.")


CitationStyle = Literal["annotations", "inline"]


class CitationArguments(Section):
    """How answers of `rag/…` show what they were answered from."""

    style: CitationStyle = Field(
        "annotations",
        description="inline: also `[1]` after sentences and sources at the end of the text, for clients that show no "
        "annotations; a request's retrieval.citations comes first.",
    )
    public_url: str | None = Field(
        None,
        pattern=r"^https?://[^\s?#]+$",
        description="Address of this server in citations, as behind a proxy; null: as the client wrote it.",
    )


def _without_default_port(origin: str) -> str:
    """A browser leaves the port out that the scheme means."""
    scheme = origin.partition(":")[0]
    return origin.removesuffix({"http": ":80", "https": ":443"}.get(scheme, ""))


Origin = Annotated[
    str,
    StringConstraints(pattern=r"^(\*|[A-Za-z][A-Za-z0-9+.-]*://[^/?#\s*]+)$", to_lower=True),
    AfterValidator(_without_default_port),
]
"""As browsers, apps and extensions write it, in small letters: a scheme, a host and perhaps a port; or `*`."""


class AppArguments(Section):
    """Everything that the application is built from."""

    llm: LLMArguments = LLMArguments()
    retrieval: RetrievalArguments | None = Field(
        default_factory=RetrievalArguments, description="null: serve without retrieval."
    )
    embedding: EmbeddingArguments | None = Field(
        default_factory=EmbeddingArguments, description="null: serve without embeddings, and so without retrieval."
    )
    rerank: RerankArguments | None = Field(None, description="null: /v1/rerank is by the cosine of embeddings.")
    limits: RequestLimits = RequestLimits()
    citations: CitationArguments = CitationArguments()
    cors_origins: tuple[Origin, ...] = Field(
        (),
        description="Origins of pages that may ask, as https://app.example.com or app://obsidian.md; `*`: every page.",
    )
    responses: ResponseArguments = ResponseArguments()
    routing: RoutingArguments | None = Field(None, description="null: there is no model `auto`.")
    judging: JudgingArguments = JudgingArguments()
    answers: AnswerArguments = AnswerArguments()
    fine_tuning: FineTuningArguments = FineTuningArguments()
    batches: BatchArguments = BatchArguments()
    prices: dict[str, TokenPrice] = Field(
        {},
        description="Of a million tokens, by model id, with or without its version; `all`: of every other. Answers say "
        "their cost then.",
    )
    rollouts: bool = Field(True, description="Follow rollouts of adapters, and move their weights.")
    default_timeout_s: float | None = Field(
        600.0, gt=0, description="Seconds that a request may take, unless it says otherwise; null: any number."
    )
    default_max_tokens: int = Field(256, ge=1, description="Longest answer, unless the request says otherwise.")

    @property
    def judge_key_variable(self) -> str | None:
        """The environment variable that holds the key of the judge, where it needs one."""
        return self.judging.judge.api_key_env if isinstance(self.judging.judge, JudgeEndpoint) else None

    @property
    def runs_jobs(self) -> bool:
        """Whether clients may order jobs."""
        return self.fine_tuning.enabled or self.batches.enabled

    @property
    def reviews_answers(self) -> bool:
        """Whether anything is to be done with answers after they were given."""
        return self.judging.share > 0 or self.answers.keep != "none"

    def price_of(self, model: ModelId, is_of_batch: bool = False) -> TokenPrice | None:
        """What tokens of a model id cost: its own price, that of its name without version or alias, or that of all; of
        a request of a batch its share of it."""
        unversioned = replace(model, adapter=AdapterRef(model.adapter.name)) if model.adapter else model
        for name in (str(model), str(unversioned), ALL_ARMS):
            if name in self.prices:
                return self.prices[name].times(self.batches.price) if is_of_batch else self.prices[name]
        return None

    @field_validator("prices")
    @classmethod
    def _are_of_model_ids(cls, prices: dict[str, TokenPrice]) -> dict[str, TokenPrice]:
        for name in prices:
            if name != ALL_ARMS:
                try:
                    ModelId.parse(name)
                except InvalidInput as error:
                    raise ValueError(f"there is a price of '{name}': {error}") from None
        return prices

    @model_validator(mode="after")
    def _keeps_what_it_explores(self) -> Self:
        if self.routing is not None and self.routing.explore > 0 and self.answers.keep == "none":
            raise ValueError("routing.explore draws arms to learn from, and answers.keep is none: nothing is kept")
        return self

    @model_validator(mode="after")
    def _judges_what_it_keeps(self) -> Self:
        if self.answers.keep == "judged" and self.judging.share == 0:
            raise ValueError("answers.keep is judged, and judging.share is 0: no answer is")
        return self

    @model_validator(mode="after")
    def _has_the_models_that_retrieval_needs(self) -> Self:
        if self.retrieval is not None and self.embedding is None:
            raise ValueError("retrieval needs embedding")
        if self.retrieval is not None and self.retrieval.rerank == "cross-encoder" and self.rerank is None:
            raise ValueError("retrieval.rerank: cross-encoder needs rerank.model")
        return self
