"""Route: learn a policy from a comparison, register it, ask one which arm it would choose, and estimate what it would
have been worth on answers that were given.

In: what a comparison found, or the name of a policy. Out: the registered policy, ranked arms, or an estimate. It prints
nothing.
"""

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from plait.adapters.tracking import start_run, tracking_client
from plait.errors import DataError
from plait.evaluation.live.answer import RoutedAnswer
from plait.evaluation.live.traces import AnswerTraces
from plait.jobs.compare.outcomes import ComparisonOutcomes
from plait.jobs.ingest.embed import prompts_of
from plait.models.embedding import Embedding, kind_of
from plait.models.encoders.load import embedding_of, load_embedding
from plait.recipes import EmbeddingConfig
from plait.routing.drift import seen_questions
from plait.routing.folder import PolicyAbout, write_policy
from plait.routing.off_policy import LoggedAnswer, OffPolicyEstimate, estimate
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
        by_embedding = trained.config.open(trained.arrays).vectors is not None
        seen = seen_questions(outcomes, by_embedding, seed)
        write_policy(Path(folder), trained.config, trained.arrays, _about(found, trained, seed), seen)
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


@dataclass(frozen=True)
class Evaluated:
    """What a policy would have been worth; `policy` is its name and version, or its file.

    Attributes:
        unscored: answers that have no such score, and are left out.
    """

    policy: str
    score: str
    estimate: OffPolicyEstimate
    unscored: int


def evaluate(policy: str, score: str) -> Evaluated:
    """Estimate what a policy would have been worth, from answers of `auto` that a server keeps.

    Args:
        policy: a registered policy, or the rules of a YAML file.
        score: by which answers are good: a metric of the server's judge, or `rating`.

    Raises:
        ModelNotFound: when there is no such policy.
        RecipeError: for a bad rule file.
        DataError: when the answers that are kept cannot tell.
        Unavailable: when a configured tracking server does not answer.
    """
    named, opened = _opened(policy)
    kept = list(AnswerTraces().routed())
    if not kept:
        raise DataError(
            "No answer of auto is kept with its propensity, so no other policy can be estimated.",
            "Let a server explore (routing.explore) and keep answers (answers.keep).",
        )
    scored = [each for each in kept if score in each.scores]
    _check_scores(kept, scored, score)
    embed = None if opened.vectors is None else embedding_of(opened.vectors).encode_queries
    found = estimate([_logged(each, score) for each in scored], opened, embed)
    return Evaluated(named, score, found, len(kept) - len(scored))


def _check_scores(kept: Sequence[RoutedAnswer], scored: Sequence[RoutedAnswer], score: str) -> None:
    """Raises: DataError: when the score is not there for all arms alike; which answers have it would decide."""
    there = sorted({name for each in kept for name in each.scores})
    if not scored:
        raise DataError(f"None of {len(kept)} answers has the score '{score}'.", f"There are: {', '.join(there)}.")
    without = sorted({each.route.arm for each in kept} - {each.route.arm for each in scored})
    if without:
        raise DataError(
            f"Answers of {', '.join(without)} never have the score '{score}', as others do.",
            f"Take one that all arms have; there are: {', '.join(there)}.",
        )


def _logged(answer: RoutedAnswer, score: str) -> LoggedAnswer:
    route = answer.route
    assert route.propensity is not None  # others are not among the routed answers
    return LoggedAnswer(
        request=RouteRequest(answer.question, None, route.collection, route.language, route.key),
        arm=route.arm,
        propensity=route.propensity,
        candidates=route.candidates,
        quality=answer.scores[score],
        tokens=answer.tokens,
    )


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
