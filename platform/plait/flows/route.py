"""Route: learn a policy from a comparison, register it, and ask one which arm it would choose.

In: what a comparison found, or the name of a policy. Out: the registered policy, or ranked arms. It prints nothing.
"""

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from plait.adapters.tracking import start_run, tracking_client
from plait.jobs.compare.outcomes import ComparisonOutcomes
from plait.jobs.ingest.embed import prompts_of
from plait.models.embedding import Embedding, kind_of
from plait.models.encoders.load import embedding_of, load_embedding
from plait.recipes import EmbeddingConfig
from plait.routing.folder import PolicyAbout, write_policy
from plait.routing.policies.rules import read_rules
from plait.routing.policy import Policy, RankedArm, RouteRequest
from plait.routing.registry import PolicyRegistry, PolicyVersion, policy_ref
from plait.routing.trained import TrainedPolicy, train
from plait.routing.worth import PolicyWorth

RULE_FILES = (".yaml", ".yml")


def embedding_like(wish: EmbeddingConfig) -> Embedding:
    """The model that embeds questions as the index of a comparison does.

    Raises:
        PlaitError: when it cannot be had.
    """
    return load_embedding(wish.model, wish.dtype, prompts_of(wish), wish.dimensions, wish.requests_per_minute)


def train_policy(
    found: ComparisonOutcomes, name: str, points: float, embedding: Embedding | None, seed: int
) -> PolicyVersion:
    """Learn a policy, judge it, and register it as the next version of a name, with the run that made it.

    Args:
        points: what 1,000 tokens cost, in points of accuracy.
        embedding: of questions; None: they are told apart by their words alone.

    Raises:
        InvalidInput: when the name cannot be one of a policy.
        Unavailable: when a configured tracking server does not answer.
    """
    name = policy_ref(name).name
    client = tracking_client()
    outcomes, vectors = found.outcomes, None
    if embedding is not None:
        outcomes = replace(outcomes, vectors=embedding.encode_queries(outcomes.questions))
        vectors = kind_of(embedding)
    trained = train(outcomes, points, vectors, seed)
    run_id = start_run(client, f"route {name}", _params(found, trained, points, seed))
    for metric, value in _metrics(trained.worth):
        client.log_metric(run_id, metric, value)
    with tempfile.TemporaryDirectory(prefix="plait-policy-") as folder:
        write_policy(Path(folder), trained.config, trained.arrays, _about(found, trained, seed))
        registered = PolicyRegistry(client).register(name, Path(folder), run_id)
    client.set_terminated(run_id)
    return registered


@dataclass(frozen=True)
class Explained:
    """What a policy says of a question; `policy` is its name and version, or its file."""

    policy: str
    ranked: list[RankedArm]


def explain(policy: str, request: RouteRequest) -> Explained:
    """Ask a registered policy, or the rules of a YAML file, which arm should answer a question.

    Raises:
        ModelNotFound: when there is no such policy.
        RecipeError: for a bad rule file.
        PlaitError: when the model that embeds the question cannot be had.
    """
    named, opened = _opened(policy)
    if opened.vectors is not None:
        embedding = embedding_of(opened.vectors).encode_queries([request.question])[0]
        request = replace(request, embedding=embedding)
    return Explained(named, opened.rank(request))


def _opened(policy: str) -> tuple[str, Policy]:
    if policy.endswith(RULE_FILES):
        return policy, read_rules(Path(policy)).open({})
    found = PolicyRegistry(tracking_client()).resolve(policy_ref(policy))
    return found.key, found.saved.policy


def _about(found: ComparisonOutcomes, trained: TrainedPolicy, seed: int) -> PolicyAbout:
    return PolicyAbout(
        comparison=found.command,
        comparison_sha256=found.sha256,
        learner=trained.learner,
        left_out=tuple(found.left_out),
        seed=seed,
        worth=trained.worth,
        reason=trained.reason,
        plait_version=version("plait"),
        created_at=datetime.now(UTC).isoformat(),
    )


def _params(found: ComparisonOutcomes, trained: TrainedPolicy, points: float, seed: int) -> dict[str, Any]:
    return {
        "comparison_sha256": found.sha256,
        "kind": trained.config.kind,
        "learner": trained.learner,
        "points_per_1000_tokens": points,
        "questions": len(found.outcomes),
        "seed": seed,
    }


def _metrics(worth: PolicyWorth | None) -> Iterator[tuple[str, float]]:
    """`ahead_of_best.low` and `ahead_of_best.high` bound `ahead_of_best`; as of the other intervals."""
    if worth is None:
        return
    yield "accuracy", worth.accuracy
    yield "tokens", worth.tokens
    for name, value in (("gain_at_best", worth.gain_at_best), ("gap_at_oracle", worth.gap_at_oracle)):
        if value is not None:
            yield name, value
    for name, interval in (("ahead_of_best", worth.best_arm.ahead), ("cost_save", worth.cost_save)):
        yield from ((name, interval.value), (f"{name}.low", interval.low), (f"{name}.high", interval.high))
    yield "brier", worth.brier
    yield "is_enabled", float(worth.is_enabled)
