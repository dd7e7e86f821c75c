"""From the outcomes of a comparison to a policy that may be used: the learned one, or the single arm that it must beat.

In: outcomes and a trade. Out: a policy with its arrays, what it is worth, and why it is this one.
"""

from dataclasses import dataclass, field

import numpy as np
from threadpoolctl import threadpool_limits

from plait.models.vectors import VectorKind
from plait.routing.estimators.estimator import Estimator
from plait.routing.learning import best_arm, choices_of, learn
from plait.routing.outcomes import Outcomes
from plait.routing.policies.fixed import FixedConfig
from plait.routing.policies.learned import LearnedConfig, VectorsConfig
from plait.routing.policy import Arrays, PolicyConfig, RoutedArm
from plait.routing.worth import PolicyWorth, worth_of

FEWEST_GROUPS = 20
"""Of fewer documents a fifth is too few to judge by."""


@dataclass(frozen=True)
class TrainedPolicy:
    """A policy as training makes it.

    Attributes:
        worth: of the learned policy, used or not; None: there was nothing to learn.
        learner: the name of what was chosen; empty for none.
    """

    config: PolicyConfig
    worth: PolicyWorth | None
    reason: str
    learner: str = ""
    arrays: Arrays = field(default_factory=dict)


def train(outcomes: Outcomes, points: float, vectors: VectorKind | None, seed: int) -> TrainedPolicy:
    """Learn a policy, judge it, and keep it if it is surely worth it.

    Args:
        points: what 1,000 tokens cost.
        vectors: the kind of the outcomes' embeddings; None: they have none.
    """
    single = outcomes.measured_arms[best_arm(outcomes, points)]
    groups = len(np.unique(outcomes.group_numbers))
    if len(outcomes.arms) == 1:
        return _always(single, f"{single.name} is the only arm that can be routed to.")
    if groups < FEWEST_GROUPS:
        told = f"{groups} documents are too few to learn from, it takes {FEWEST_GROUPS}"
        return _always(single, f"{told}. So {single.name}, which is worth the most, answers every question.")
    with threadpool_limits(1):  # many small fits: on two busy cores two threads took eight times as long
        worth = worth_of(outcomes, choices_of(outcomes, points, seed), points)
        if not worth.is_enabled:
            return TrainedPolicy(FixedConfig(arm=single, reason=worth.reason), worth, worth.reason)
        learned = learn(outcomes, points, seed)
    config = learned_config(learned.estimator, outcomes, points, vectors)
    return TrainedPolicy(config, worth, worth.reason, learned.learner, learned.estimator.arrays)


def learned_config(
    estimator: Estimator, outcomes: Outcomes, points: float, vectors: VectorKind | None
) -> LearnedConfig:
    """What a policy's file says of an estimator that was learned; its arrays are kept beside it."""
    return LearnedConfig(
        arms=outcomes.measured_arms,
        points=points,
        estimator=estimator.name,
        words=tuple(estimator.words),
        vectors=_as_config(vectors) if vectors is not None and estimator.dimension else None,
    )


def _always(arm: RoutedArm, reason: str) -> TrainedPolicy:
    return TrainedPolicy(FixedConfig(arm=arm, reason=reason), None, reason)


def _as_config(kind: VectorKind) -> VectorsConfig:
    return VectorsConfig(
        model=kind.model,
        dimension=kind.dimension,
        query_prompt=kind.prompts.query,
        passage_prompt=kind.prompts.passage,
    )
