"""Every metric that Plait exports: name, type, labels, unit, buckets.

Plain prometheus_client in multiprocess mode: each process of a node writes to one folder, and the node's exporter adds
them up, so counters survive the process that counted. Record through these objects and define no metric elsewhere.

`model_name` is the model id as it was asked for (`base`, `rag/support`), `adapter` the adapter's name or empty.
"""

import os

from plait.observability.bounded_label import BoundedLabel
from plait.settings import settings

settings().metrics_dir.mkdir(parents=True, exist_ok=True)
os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(settings().metrics_dir)

from prometheus_client import Counter, Gauge, Histogram, values  # noqa: E402 (it reads the variable when imported)

if values.ValueClass is values.MutexValue:
    # Another library imported prometheus_client before the variable was set: the choice made then would keep our
    # metrics inside this process, where nobody sees them. It is asked for anew with every metric made.
    values.ValueClass = values.MultiProcessValue()

# vLLM's buckets where the meaning is vLLM's, so that dashboards carry over.
_INTER_TOKEN_BUCKETS_S = (0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 20, 40, 80)
TTFT_BUCKETS_S = (
    0.001,
    0.005,
    0.01,
    0.02,
    0.04,
    0.06,
    0.08,
    0.1,
    0.25,
    0.5,
    0.75,
    1,
    2.5,
    5,
    7.5,
    10,
    20,
    40,
    80,
    160,
    640,
    2560,
)
_REQUEST_BUCKETS_S = (0.3, 0.5, 0.8, 1, 1.5, 2, 2.5, 5, 10, 15, 20, 30, 40, 50, 60, 120, 240, 480, 960, 1920, 7680)
_STAGE_BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_BATCH_BUCKETS = (1, 2, 4, 8, 16, 32, 64, 128)

# Serving. vLLM's names where the meaning is vLLM's, so that its dashboards fit.
collection_label = BoundedLabel(200)
"""The value of the label `collection`: clients make collections, and delete them, without end."""
# Adapters come and go without end; series must not. Each has a few model ids: versions, aliases, with retrieval.
adapter_label, model_label = BoundedLabel(50), BoundedLabel(200)

REQUESTS = Counter("plait_requests", "Requests answered.", ["model_name", "adapter", "outcome"])
REQUESTS_UNDER_WAY = Gauge("plait_requests_running", "Requests under way.", multiprocess_mode="livesum")
SUCCESSES = Counter(
    "vllm:request_success", "Answers that came to their end.", ["model_name", "adapter", "finished_reason"]
)
TTFT = Histogram(
    "vllm:time_to_first_token_seconds",
    "From the arrival of a request to its first token.",
    ["model_name", "adapter"],
    buckets=TTFT_BUCKETS_S,
)
INTER_TOKEN_SECONDS = Histogram(
    "vllm:inter_token_latency_seconds",
    "From a token to the next; tokens of one piece share its time.",
    ["model_name", "adapter"],
    buckets=_INTER_TOKEN_BUCKETS_S,
)
REQUEST_SECONDS = Histogram(
    "vllm:e2e_request_latency_seconds",
    "From the arrival of a request to its last token.",
    ["model_name", "adapter"],
    buckets=_REQUEST_BUCKETS_S,
)
QUEUE_SECONDS = Histogram(
    "vllm:request_queue_time_seconds",
    "From the arrival of a request in the engine to its first step.",
    ["model_name", "adapter"],
    buckets=_REQUEST_BUCKETS_S,
)
PROMPT_TOKENS = Counter("vllm:prompt_tokens", "Tokens of prompts.", ["model_name", "adapter"])
GENERATED_TOKENS = Counter("vllm:generation_tokens", "Tokens generated.", ["model_name", "adapter"])
ANSWER_COST = Counter(
    "plait_answer_cost",
    "What the tokens of answers cost, in the currency of the server's prices.",
    ["model_name", "adapter"],
)
LLM_REPLICAS = Gauge(
    "plait_llm_replicas", "Replicas of the LLM that are up, and cost money.", multiprocess_mode="livesum"
)
REPLICA_HOUR_PRICE = Gauge(
    "plait_replica_hour_price",
    "What an hour of one replica of the LLM costs, as PLAIT_REPLICA_HOUR_PRICE says; 0 is unset.",
    multiprocess_mode="livemax",
)

# The engine
ENGINE_RUNNING = Gauge(
    "vllm:num_requests_running", "Requests that share steps now.", ["model_name"], multiprocess_mode="livesum"
)
ENGINE_WAITING = Gauge(
    "vllm:num_requests_waiting", "Requests that wait for a place.", ["model_name"], multiprocess_mode="livesum"
)
KV_CACHE_USE = Gauge(
    "vllm:kv_cache_usage_perc", "Share of the cache's blocks in use; 1 is full.", ["model_name"],
    multiprocess_mode="livemax",
)  # fmt: skip
PREFIX_QUERIES = Counter("vllm:prefix_cache_queries", "Tokens of prompts looked up in the cache.", ["model_name"])
PREFIX_HITS = Counter("vllm:prefix_cache_hits", "Tokens of prompts found in the cache.", ["model_name"])
BATCH_SIZE = Histogram("plait_engine_batch_size", "Requests that share a step.", buckets=_BATCH_BUCKETS)
BATCH_ADAPTERS = Histogram(
    "plait_engine_batch_adapters", "Distinct adapters that share a step.", buckets=(0, *_BATCH_BUCKETS)
)
FAILED_ROWS = Counter(
    "plait_engine_failed_requests",
    "Requests that a step ended with an error, by its code: not_finite is weights that give infinities or NaN.",
    ["model_name", "code"],
)
ADAPTER_LOADS = Counter("plait_adapter_loads", "Adapters loaded into an engine.", ["adapter", "outcome"])
ADAPTER_LOAD_SECONDS = Histogram(
    "plait_adapter_load_seconds", "From the wish for an adapter to its weights in memory.", buckets=_STAGE_BUCKETS_S
)
ADAPTER_EVICTIONS = Counter("plait_adapter_evictions", "Adapters that left memory to make room.", ["adapter"])
ADAPTERS_RESIDENT = Gauge(
    "plait_adapters_resident",
    "Adapters by the highest tier that holds them: batch, memory, or disk.",
    ["tier"],
    multiprocess_mode="livesum",
)
ADAPTERS_PINNED = Gauge("plait_adapters_pinned", "Adapters that are never evicted.", multiprocess_mode="livesum")

# Rollouts of adapters. Recorded by their controller.
ROLLOUT_WEIGHT = Gauge(
    "plait_rollout_weight",
    "Share of the requests for the alias that the candidate of the last rollout answers; 1: promoted.",
    ["adapter"],
    multiprocess_mode="mostrecent",
)
ROLLOUT_STEP = Gauge(
    "plait_rollout_step",
    "Step of the last rollout, from 1; 0: the shadow.",
    ["adapter"],
    multiprocess_mode="mostrecent",
)
ROLLOUT_DECISIONS = Counter(
    "plait_rollout_decisions",
    "What the controller decided: advanced, stalled, promoted, rolled_back or superseded.",
    ["adapter", "decision"],
)
ROLLED_BACK_AT = Gauge(
    "plait_rollout_rolled_back_timestamp_seconds",
    "When the last rollout was rolled back, by itself or by a person; absent where it was not.",
    ["adapter"],
    multiprocess_mode="mostrecent",
)

# Retrieval
RETRIEVAL_SECONDS = Histogram(
    "plait_retrieval_seconds",
    "Time of a stage of answering from an index: embed, search, rerank, expand, generate.",
    ["collection", "stage"],
    buckets=_STAGE_BUCKETS_S,
)
PASSAGES = Histogram(
    "plait_retrieved_passages", "Passages found for a question.", ["collection"], buckets=(0, 1, 2, 3, 5, 8, 13, 21)
)
NO_CONTEXT = Counter(
    "plait_no_context", "Questions for which no passage was found, by what was done: refused or answered.",
    ["collection", "outcome"],
)  # fmt: skip

ANSWER_INDEX_AGE_SECONDS = Histogram(
    "plait_answer_index_age_seconds",
    "How long before an answer the index that it is given from last held what its sources did.",
    ["model_name", "collection"],
    buckets=(60, 300, 900, 3600, 4 * 3600, 12 * 3600, 26 * 3600, 3 * 24 * 3600, 7 * 24 * 3600, 30 * 24 * 3600),
)

# Answers after they were given
JUDGED_SCORE = Histogram(
    "plait_judged_score",
    "Scores of answers by a metric and the judge of the server, 1 is best.",
    ["metric", "model_name", "adapter", "collection"],
    buckets=(0.25, 0.5, 0.75, 0.9, 1),
)
JUDGED = Counter(
    "plait_judged",
    "Answers that were to be judged: judged, cannot_be_said, dropped (too many waited) or failed.",
    ["metric", "outcome"],
)
ANSWERS_KEPT = Counter(
    "plait_answers_kept", "Answers that were to be kept: kept, dropped (too many waited) or failed.", ["outcome"]
)
FEEDBACK = Counter("plait_feedback", "Ratings by people: up (0.5 or more) or down.", ["rating", "model_name"])

# What clients order
TUNING_JOBS = Counter(
    "plait_client_tuning_jobs", "Fine-tuning jobs that ended: succeeded, failed or cancelled.", ["status"]
)
BATCH_REQUESTS = Counter("plait_batch_requests", "Requests of ended batches: completed or failed.", ["outcome"])
# Routing of `auto`. `arm` is the model id that is asked, `policy` its name and version.
policy_label = BoundedLabel(50)
ROUTED = Counter(
    "plait_routed_requests",
    "Requests for auto by the arm that answered: as chosen, the next_best, or explored (drawn at random).",
    ["arm", "policy", "how"],
)
ROUTE_PASSED_OVER = Counter(
    "plait_route_passed_over",
    "Arms that did not answer a request for auto although they came first: late, or the code of their error.",
    ["arm", "reason"],
)
ROUTE_ABSTENTIONS = Counter(
    "plait_route_abstentions",
    "Requests for auto on which no policy could decide: no_policy or no_embedding.",
    ["policy", "reason"],
)
ROUTE_SECONDS = Histogram(
    "plait_route_seconds",
    "Time to choose an arm: embed (the question, where the policy needs it) and choose.",
    ["stage"],
    buckets=(0.0005, *_STAGE_BUCKETS_S),
)
ROUTE_JUDGED_SCORE = Histogram(
    "plait_route_judged_score",
    "Scores of the answers of auto by a metric and the judge of the server, 1 is best.",
    ["metric", "arm", "policy"],
    buckets=(0.25, 0.5, 0.75, 0.9, 1),
)
ROUTE_POLICY_LOADS = Counter(
    "plait_route_policy_loads", "Policies that a replica of the API loaded or could not load.", ["outcome"]
)
ROUTE_DRIFT = Gauge(
    "plait_route_drift",
    "How far the distribution of the last questions' distances from the learned ones lies above the usual one, 0 to 1.",
    ["policy"],
    multiprocess_mode="livemax",
)
ROUTE_DRIFTED = Gauge(
    "plait_route_drifted",
    "Whether the last questions are surely farther from the learned ones than usual: 1 or 0.",
    ["policy"],
    multiprocess_mode="livemax",
)

# Ingestion
DOCUMENTS = Counter(
    "plait_ingest_documents",
    "Documents seen: written, unchanged, duplicate, removed or failed.",
    ["collection", "outcome"],
)
INGEST_NOTES = Counter(
    "plait_ingest_notes",
    "Documents read with something to know: encoding_guessed, bytes_replaced, hidden_sheets, formulas_without_value or "
    "pages_without_text.",
    ["collection", "kind"],
)
CHUNKS = Counter("plait_ingest_chunks", "Chunks written to the index.", ["collection"])
UNKNOWN_CHUNKS = Counter(
    "plait_ingest_unknown_chunks", "Chunks of which the embedding model knows less than half.", ["collection"]
)
EMBED_SECONDS = Histogram("plait_ingest_embed_seconds", "Time to embed a batch of chunks.", buckets=_STAGE_BUCKETS_S)
INGEST_FRESHNESS_SECONDS = Histogram(
    "plait_ingest_freshness_seconds",
    "From a document's change at the source to the moment it can be found; not of a collection's first run.",
    ["collection"],
    buckets=(0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 900, 3600, 4 * 3600, 24 * 3600, 7 * 24 * 3600),
)
INGEST_IN_STEP = Gauge(
    "plait_ingest_in_step_timestamp_seconds",
    "When the index last held what its sources did: the start of the last whole run, or the last look of --watch.",
    ["collection"],
    multiprocess_mode="mostrecent",
)

# Training. The last values stay visible after the job's processes have ended.
TRAIN_LOSS = Gauge(
    "plait_train_loss", "Loss of the last step, nats a token.", ["adapter"], multiprocess_mode="mostrecent"
)
TRAIN_TOKENS_PER_SECOND = Gauge(
    "plait_train_tokens_per_second", "Speed of the last step.", ["adapter"], multiprocess_mode="mostrecent"
)
TRAIN_TOKENS = Counter("plait_train_tokens", "Tokens trained on.", ["adapter"])
TRAIN_STEPS = Counter("plait_train_steps", "Optimiser steps done.", ["adapter"])
TRAIN_PROGRESS = Gauge(
    "plait_train_progress_timestamp_seconds",
    "When a run that is alive began or did its last step; gone with the process that trains.",
    ["adapter"],
    multiprocess_mode="livemostrecent",
)

# The processes that Plait starts on a machine. Recorded by its watcher.
PROCESS_UP = Gauge(
    "plait_process_up",
    "Whether a process that Plait started on this machine lives: 1, or 0 when it died by itself.",
    ["process"],
    multiprocess_mode="livemostrecent",
)
PROCESS_RESTARTS = Counter("plait_process_restarts", "Processes that died and were started again.", ["process"])
