"""The application builder: a Serve configuration's `args` in, the bound application out.

`import_path: plait.serve.app:build` in a Serve configuration. `check` is what a caller runs first: a wrong model or
collection is then one sentence, and not a deployment that never gets healthy.
"""

import os
from collections.abc import Sequence
from typing import Any

from ray import serve
from ray.serve import Application
from ray.serve.config import AutoscalingConfig, RequestRouterConfig
from ray.serve.schema import EncodingType, LoggingConfig

from plait.adapters.registry import Registry
from plait.engines.registry import check_settings
from plait.index.collection import Index
from plait.index.stores.connect import connect_store
from plait.models.source import resolve_model
from plait.serve.api.fine_tuning.recipe import check_recipes
from plait.serve.deployments.embedder import Embedder
from plait.serve.deployments.indexer import Indexer
from plait.serve.deployments.job_runner import JobRunner
from plait.serve.deployments.llm import LLM
from plait.serve.deployments.reranker import Reranker
from plait.serve.deployments.retriever import Retriever
from plait.serve.deployments.reviewer import Reviewer, check_judging
from plait.serve.deployments.rollout_controller import RolloutController
from plait.serve.ingress import Ingress
from plait.serve.messages.arguments import AppArguments, LLMArguments
from plait.serve.replica_affinity import AffinityRouter
from plait.serve.routing.checking import check_routing
from plait.settings import settings_variables
from plait.validation import validated

# Far above what an engine's queue holds: whether a request may wait is the engine's to say, with 429.
_MAX_ONGOING = 1024
_LIGHT_CPUS = 0.1
# A replica that died is seen at the next check. One that is only busy still has 30 s for each of three.
_HEALTH_CHECK_PERIOD_S = 1.0
# Torch's threads spin while they wait for each other. Without that a step of Gemma 270M takes a fifth longer; as long
# as OpenMP likes, they spin on a busy machine instead of the thread that they wait for, 10 times slower. So: briefly.
_ENVIRONMENT = {"GOMP_SPINCOUNT": "10000"}


def build(args: dict[str, Any]) -> Application:
    """Bind ingress, LLM, embedder, and what else is configured.

    Raises:
        RecipeError: for arguments that are unknown or not valid.
    """
    arguments = parse(args)
    size, retrieval = arguments.llm, arguments.retrieval
    rollouts = _rollout_controller() if arguments.rollouts else None
    llm = _deployment(LLM, size.num_cpus, size.num_gpus, request_router_config=_affinity(size), **_scale(size)).bind(
        size, retrieval.budget_tokens if retrieval else 0, rollouts
    )
    embedding, rerank = arguments.embedding, arguments.rerank
    embedder = _deployment(Embedder, embedding.num_cpus).bind(embedding, retrieval) if embedding else None
    reranker = _deployment(Reranker, rerank.num_cpus).bind(rerank) if rerank else None
    retriever = _deployment(Retriever, retrieval.num_cpus).bind(retrieval, embedder, reranker) if retrieval else None
    indexer = _deployment(Indexer, _LIGHT_CPUS).bind(retrieval, embedder) if retrieval else None
    reviewer = _reviewer(arguments, llm, rollouts) if arguments.reviews_answers else None
    runner = _deployment(JobRunner, num_cpus=0).bind(arguments) if arguments.runs_jobs else None
    return _deployment(Ingress, _LIGHT_CPUS).bind(
        llm, retriever, embedder, reranker, indexer, reviewer, runner, arguments
    )


def _rollout_controller() -> Any:
    """None runs until a request has a part in a rollout, and never more than one."""
    scaling = AutoscalingConfig(
        min_replicas=0, initial_replicas=0, max_replicas=1, target_ongoing_requests=1, upscale_delay_s=0
    )
    # What waits for the end of a rollout need not be waited for.
    return _deployment(RolloutController, num_cpus=0, autoscaling_config=scaling, graceful_shutdown_timeout_s=1).bind()


def _reviewer(arguments: AppArguments, llm: Any, rollouts: Any) -> Any:
    key = arguments.judge_key_variable
    return _deployment(Reviewer, num_cpus=0, variables=[key] if key else []).bind(arguments, llm, rollouts)


def _deployment(kind: type, num_cpus: float, num_gpus: float = 0, variables: Sequence[str] = (), **options: Any) -> Any:
    return serve.deployment(
        kind,
        max_ongoing_requests=_MAX_ONGOING,
        health_check_period_s=_HEALTH_CHECK_PERIOD_S,
        logging_config=LoggingConfig(encoding=EncodingType.JSON),
        **options,
        ray_actor_options={
            "num_cpus": num_cpus,
            "num_gpus": num_gpus,
            "runtime_env": {"env_vars": _environment(variables)},
        },
    )


def _environment(variables: Sequence[str]) -> dict[str, str]:
    """What a replica's settings come from: Serve gives the application's environment only to what builds it, here."""
    spans = {name: value for name, value in os.environ.items() if name.startswith("OTEL_")}
    named = {name: os.environ[name] for name in variables if name in os.environ}
    return {**settings_variables(), **spans, **named, **_ENVIRONMENT}


def _scale(size: LLMArguments) -> dict[str, Any]:
    scaling = size.autoscaling
    if scaling is None:
        return {"num_replicas": size.replicas}
    return {"autoscaling_config": AutoscalingConfig(**scaling.model_dump())}


def _affinity(size: LLMArguments) -> RequestRouterConfig:
    return RequestRouterConfig(
        request_router_class=AffinityRouter,
        request_router_kwargs={
            "max_imbalance": size.max_queue_imbalance,
            "free_load": size.max_batch_size,
            "capacity": size.max_loaded_adapters,
        },
    )


def parse(args: dict[str, Any]) -> AppArguments:
    """The typed arguments, or one sentence about every bad one."""
    return validated(AppArguments, args, "What stands under the application's args", "Mend the Serve configuration.")


def check(arguments: AppArguments) -> None:
    """Find out before anything starts whether the application can run; makes the base model ready to load.

    Raises:
        InvalidInput, RecipeError, ModelNotFound, CollectionNotFound, Unavailable: what is missing.
    """
    check_settings(arguments.llm)
    if arguments.judging.share > 0:
        check_judging(arguments.judging)
    if arguments.fine_tuning.enabled:
        check_recipes(arguments)
    if arguments.routing is not None:
        check_routing(arguments.routing, arguments)
    resolve_model(arguments.llm.model)
    if arguments.embedding is not None and arguments.embedding.model is not None:
        resolve_model(arguments.embedding.model)
    if arguments.rerank is not None:
        resolve_model(arguments.rerank.model)
    if arguments.retrieval is not None:
        store = connect_store()
        for collection in arguments.retrieval.collections:
            Index.open(collection, store).check_mode(arguments.retrieval.mode)
    Registry()
