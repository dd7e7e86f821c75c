"""The dashboards: which question each answers, and the queries that answer it.

Queries are made from the metric definitions. How Grafana wants it written is `grafana`'s business.
"""

from collections.abc import Iterator

from prometheus_client import Gauge, Histogram

from plait.observability import metrics
from plait.observability.alerts import failures
from plait.observability.grafana import Dashboard, Panel, Query
from plait.observability.promql import Metric, documentation, quantile, rate, series

WINDOW = "$__rate_interval"
_HERE = 'namespace=~"$namespace"'
"""The namespaces chosen above the panels; on a laptop there is none, which the choice "All" takes too."""


def dashboards() -> tuple[Dashboard, ...]:
    """All of them."""
    return (
        Dashboard("plait-serving", "Plait: serving by adapter", tuple(_serving())),
        Dashboard("plait-rag", "Plait: retrieval by stage", tuple(_retrieval())),
        Dashboard("plait-quality", "Plait: what judges and people say", tuple(_quality())),
        Dashboard("plait-routing", "Plait: what auto chooses", tuple(_routing())),
        Dashboard("plait-training", "Plait: training", tuple(_training())),
        Dashboard("plait-ingestion", "Plait: ingestion", tuple(_ingestion())),
        Dashboard("plait-cost", "Plait: cost", tuple(_cost())),
    )


def _here(metric: Metric, matchers: str = "", part: str = "") -> str:
    return series(metric, f"{_HERE}, {matchers}".removesuffix(", "), part)


def _rate(metric: Metric, by: str, matchers: str = "", part: str = "") -> str:
    return rate(_here(metric, matchers, part), WINDOW, by)


def _by(title: str, metric: Metric, by: str, unit: str) -> Panel:
    """A counter's rate, or a gauge's sum, by a label."""
    expr = f"sum by ({by}) ({_here(metric)})" if isinstance(metric, Gauge) else _rate(metric, by)
    return Panel(title, documentation(metric), unit, (Query(expr, f"{{{{{by}}}}}"),))


def _times(title: str, metric: Histogram, by: str = "", unit: str = "s") -> Panel:
    """A histogram's median and its slow end."""
    queries = tuple(
        Query(quantile(share, metric, WINDOW, by, _HERE), f"{{{{{by}}}}} {name}" if by else name)
        for share, name in ((0.5, "p50"), (0.95, "p95"))
    )
    return Panel(title, documentation(metric), unit, queries)


def _latest(title: str, metric: Gauge, by: str, unit: str) -> Panel:
    return Panel(title, documentation(metric), unit, (Query(f"max by ({by}) ({_here(metric)})", f"{{{{{by}}}}}"),))


def _since(title: str, metric: Gauge, by: str, description: str) -> Panel:
    expr = f"time() - max by ({by}) ({_here(metric)})"
    return Panel(title, description, "s", (Query(expr, f"{{{{{by}}}}}"),))


def _ratio(title: str, description: str, above: str, below: str, legend: str) -> Panel:
    return Panel(title, description, "percentunit", (Query(f"{above} / {below}", legend),))


def _serving() -> Iterator[Panel]:
    ours = f'outcome=~"{failures()}"'
    yield _by("Requests", metrics.REQUESTS, "adapter", "reqps")
    yield _ratio(
        "Failed by our fault",
        "Share of requests that fail by our fault: what the error objective is about.",
        _rate(metrics.REQUESTS, "adapter", ours),
        _rate(metrics.REQUESTS, "adapter", f'outcome=~"ok|{failures()}"'),
        "{{adapter}}",
    )
    yield _by("Outcomes", metrics.REQUESTS, "outcome", "reqps")
    yield _times("Time to first token", metrics.TTFT, "adapter")
    yield _times("Time between tokens", metrics.INTER_TOKEN_SECONDS, "adapter")
    yield _times("Whole answer", metrics.REQUEST_SECONDS, "adapter")
    yield _times("Time in the queue", metrics.QUEUE_SECONDS, "adapter")
    yield _by("Tokens generated", metrics.GENERATED_TOKENS, "adapter", "cps")
    yield _by("Tokens of prompts", metrics.PROMPT_TOKENS, "adapter", "cps")
    yield _by("Ends of answers", metrics.SUCCESSES, "finished_reason", "reqps")
    yield _by("Requests that share steps", metrics.ENGINE_RUNNING, "namespace", "short")
    yield _by("Requests that wait", metrics.ENGINE_WAITING, "namespace", "short")
    yield _by("Requests under way", metrics.REQUESTS_UNDER_WAY, "namespace", "short")
    yield _by("Requests that a step ended", metrics.FAILED_ROWS, "code", "reqps")
    yield _latest("KV cache in use", metrics.KV_CACHE_USE, "namespace", "percentunit")
    yield _ratio(
        "Prompts found in the cache",
        "Share of the tokens of prompts that need not be computed again.",
        _rate(metrics.PREFIX_HITS, "namespace"),
        _rate(metrics.PREFIX_QUERIES, "namespace"),
        "{{namespace}}",
    )
    yield _times("Requests in a step", metrics.BATCH_SIZE, unit="short")
    yield _times("Adapters in a step", metrics.BATCH_ADAPTERS, unit="short")
    yield Panel(
        "Loads of adapters",
        documentation(metrics.ADAPTER_LOADS),
        "ops",
        (Query(_rate(metrics.ADAPTER_LOADS, "adapter, outcome"), "{{adapter}} {{outcome}}"),),
    )
    yield _times("Time to load an adapter", metrics.ADAPTER_LOAD_SECONDS)
    yield _by("Adapters by tier", metrics.ADAPTERS_RESIDENT, "tier", "short")
    yield _by("Pinned adapters", metrics.ADAPTERS_PINNED, "namespace", "short")
    yield _latest("Weight of the candidate", metrics.ROLLOUT_WEIGHT, "adapter", "percentunit")
    yield _latest("Step of the rollout", metrics.ROLLOUT_STEP, "adapter", "short")
    yield Panel(
        "Decisions about rollouts",
        documentation(metrics.ROLLOUT_DECISIONS),
        "short",
        (Query(f"sum by (adapter, decision) ({_here(metrics.ROLLOUT_DECISIONS)})", "{{adapter}} {{decision}}"),),
    )
    yield _since("Since a rollback", metrics.ROLLED_BACK_AT, "adapter", documentation(metrics.ROLLED_BACK_AT))
    yield _by("Evictions", metrics.ADAPTER_EVICTIONS, "adapter", "ops")
    yield _latest("Processes that live", metrics.PROCESS_UP, "process", "short")
    yield Panel(
        "Processes started again",
        documentation(metrics.PROCESS_RESTARTS),
        "short",
        (Query(f"sum by (process) ({_here(metrics.PROCESS_RESTARTS)})", "{{process}}"),),
    )


def _retrieval() -> Iterator[Panel]:
    yield _times("Time of each stage", metrics.RETRIEVAL_SECONDS, "stage")
    yield Panel(
        "Stages done",
        "How often each stage ran.",
        "ops",
        (Query(_rate(metrics.RETRIEVAL_SECONDS, "stage", part="count"), "{{stage}}"),),
    )
    yield Panel(
        "Share of the time",
        "Where the time of answering goes, in seconds a second.",
        "s",
        (Query(_rate(metrics.RETRIEVAL_SECONDS, "stage", part="sum"), "{{stage}}"),),
    )
    yield _times("Passages found", metrics.PASSAGES, "collection", "short")
    yield _by("Questions without a passage", metrics.NO_CONTEXT, "collection", "reqps")


def _quality() -> Iterator[Panel]:
    by = "metric, model_name, collection"
    yield Panel(
        "Judged scores",
        "Mean of the scores that the server's judge gave, 1 is best.",
        "percentunit",
        (
            Query(
                f"{_rate(metrics.JUDGED_SCORE, by, part='sum')} / {_rate(metrics.JUDGED_SCORE, by, part='count')}",
                "{{metric}} {{model_name}} {{collection}}",
            ),
        ),
    )
    yield _by("Judged answers by outcome", metrics.JUDGED, "outcome", "ops")
    yield _ratio(
        "Ratings that are up",
        "Share of the ratings by people that are 0.5 or more.",
        _rate(metrics.FEEDBACK, "model_name", 'rating="up"'),
        _rate(metrics.FEEDBACK, "model_name"),
        "{{model_name}}",
    )
    yield _by("Ratings", metrics.FEEDBACK, "rating", "ops")
    yield _by("Answers kept", metrics.ANSWERS_KEPT, "outcome", "ops")
    yield _by("Requests of batches", metrics.BATCH_REQUESTS, "outcome", "ops")


def _routing() -> Iterator[Panel]:
    share = f"{_rate(metrics.ROUTED, 'arm, policy')} / on () group_left () sum({_rate(metrics.ROUTED, 'arm')})"
    yield Panel(
        "Share of the arms",
        "Which arms answer auto, by policy.",
        "percentunit",
        (Query(share, "{{policy}} {{arm}}"),),
    )
    yield _by("Chosen, next best, explored", metrics.ROUTED, "how", "reqps")
    by = "metric, arm, policy"
    yield Panel(
        "Judged scores by arm",
        documentation(metrics.ROUTE_JUDGED_SCORE),
        "percentunit",
        (
            Query(
                f"{_rate(metrics.ROUTE_JUDGED_SCORE, by, part='sum')} / "
                f"{_rate(metrics.ROUTE_JUDGED_SCORE, by, part='count')}",
                "{{metric}} {{policy}} {{arm}}",
            ),
        ),
    )
    yield _by("Arms that were passed over", metrics.ROUTE_PASSED_OVER, "reason", "reqps")
    yield _by("No policy decided", metrics.ROUTE_ABSTENTIONS, "reason", "reqps")
    yield _latest("Drift of the questions", metrics.ROUTE_DRIFT, "policy", "percentunit")
    yield _latest("Whether the drift is sure", metrics.ROUTE_DRIFTED, "policy", "short")
    yield _times("Time to choose", metrics.ROUTE_SECONDS, "stage")
    yield _by("Loads of the policy", metrics.ROUTE_POLICY_LOADS, "outcome", "ops")


def _training() -> Iterator[Panel]:
    yield _latest("Loss", metrics.TRAIN_LOSS, "adapter", "short")
    yield _latest("Speed", metrics.TRAIN_TOKENS_PER_SECOND, "adapter", "cps")
    yield _by("Steps", metrics.TRAIN_STEPS, "adapter", "ops")
    yield _by("Tokens", metrics.TRAIN_TOKENS, "adapter", "cps")
    yield _by("Fine-tuning jobs of clients that ended", metrics.TUNING_JOBS, "status", "ops")
    yield _since(
        "Since the last step",
        metrics.TRAIN_PROGRESS,
        "adapter",
        "Of runs that are alive: how long ago the last step was.",
    )


def _ingestion() -> Iterator[Panel]:
    yield _by("Documents by outcome", metrics.DOCUMENTS, "outcome", "ops")
    yield _by("Documents by collection", metrics.DOCUMENTS, "collection", "ops")
    yield _by("Documents with something to know", metrics.INGEST_NOTES, "kind", "ops")
    yield _by("Chunks written", metrics.CHUNKS, "collection", "ops")
    yield _by("Chunks the embedding model hardly knows", metrics.UNKNOWN_CHUNKS, "collection", "ops")
    yield _times("Time to embed a batch", metrics.EMBED_SECONDS)
    yield _times("From a change to its being found", metrics.INGEST_FRESHNESS_SECONDS, "collection")
    yield _times("Age of the index by route", metrics.ANSWER_INDEX_AGE_SECONDS, "model_name, collection")
    yield _since(
        "Age of the index", metrics.INGEST_IN_STEP, "collection", "How long ago the index held what its sources did."
    )


def _cost() -> Iterator[Panel]:
    replicas = f"sum by (namespace) ({_here(metrics.LLM_REPLICAS)})"
    price = f"max by (namespace) ({_here(metrics.REPLICA_HOUR_PRICE)} > 0)"
    answers = "(" + _rate(metrics.REQUESTS, "namespace", 'outcome="ok"') + " > 0)"
    tokens = "(" + _rate(metrics.GENERATED_TOKENS, "namespace") + " > 0)"
    by_adapter = _rate(metrics.GENERATED_TOKENS, "namespace, adapter")
    yield _by("Replicas", metrics.LLM_REPLICAS, "namespace", "short")
    yield Panel(
        "Replica time per answer",
        "Seconds of a replica that an answer takes; idle time is paid for by the answers there are.",
        "s",
        (Query(f"{replicas} / {answers}", "{{namespace}}"),),
    )
    yield Panel(
        "Replica time per 1,000 tokens",
        "Seconds of a replica for 1,000 generated tokens.",
        "s",
        (Query(f"1000 * {replicas} / {tokens}", "{{namespace}}"),),
    )
    yield Panel(
        "Cost per answer",
        "In the currency of PLAIT_REPLICA_HOUR_PRICE; empty where that is not set.",
        "short",
        (Query(f"{replicas} * {price} / 3600 / {answers}", "{{namespace}}"),),
    )
    by_route = "namespace, model_name"
    priced = _rate(metrics.ANSWER_COST, by_route)
    answers_by_route = "(" + _rate(metrics.REQUESTS, by_route, 'outcome="ok"') + " > 0)"
    share = f"{_rate(metrics.GENERATED_TOKENS, by_route)} / on (namespace) group_left () {tokens}"
    by_time = f"{share} * on (namespace) group_left () ({replicas} * {price} / 3600)"
    yield Panel(
        "Cost per answer by route",
        "By the server's prices of tokens; for a route without one, its share of the generated tokens of the replicas' "
        "time, at PLAIT_REPLICA_HOUR_PRICE.",
        "short",
        (Query(f"({priced} or {by_time}) / {answers_by_route}", "{{model_name}}"),),
    )
    yield Panel(
        "Cost per hour",
        "In the currency of PLAIT_REPLICA_HOUR_PRICE; empty where that is not set.",
        "short",
        (Query(f"{replicas} * {price}", "{{namespace}}"),),
    )
    yield Panel(
        "Share of generated tokens",
        "Which adapters the cost is spent on.",
        "percentunit",
        (Query(f"{by_adapter} / on (namespace) group_left () {tokens}", "{{adapter}}"),),
    )
