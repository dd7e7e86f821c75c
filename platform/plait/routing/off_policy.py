"""What answers would have been worth by another policy, from answers whose arm was partly left to chance.

In: answers, each with how likely its arm was, and a policy that was not asked. Out: two estimates of the mean quality
that it would have had, with 95% intervals over questions:

- self-normalised inverse propensity scores (Swaminathan & Joachims 2015, papers.nips.cc/paper/5748): the answers whose
  arm the policy would have chosen, each for as many as it stands for;
- doubly robust (Dudik, Langford & Li 2011, arXiv:1103.4601): what a regression expects of the arm that the policy would
  have chosen, corrected by those answers. It is right where the propensities are, however bad the regression.

Intervals are by the variance of each estimate's influence over whole questions, with Student's quantile.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats
from sklearn.linear_model import Ridge
from sklearn.model_selection import GroupKFold

from plait.errors import DataError
from plait.evaluation.statistics.means import Array, group_totals
from plait.models.vectors import Vectors
from plait.routing.policy import Policy, RankedArm, RouteRequest
from plait.routing.worth import Interval

FEW = 30
"""With fewer effective answers the intervals are too narrow to be trusted."""
_FOLDS = 5


@dataclass(frozen=True)
class LoggedAnswer:
    """An answer, and how likely its arm was.

    Attributes:
        request: the question, and what the policy was told besides.
        arm: the model id that answered.
        propensity: in (0, 1].
        candidates: model ids that could have answered.
        quality: in [0, 1].
        tokens: read and written.
    """

    request: RouteRequest
    arm: str
    propensity: float
    candidates: tuple[str, ...]
    quality: float
    tokens: float

    @property
    def group(self) -> str:
        """The question itself: answers to one are not independent."""
        return " ".join(self.request.question.lower().split())


@dataclass(frozen=True)
class OffPolicyEstimate:
    """What a policy would have been worth.

    Attributes:
        answers: that are estimated from. `questions`: different ones among them.
        matched: answers whose arm the policy would have chosen.
        effective: answers of its own choice that would tell as much: (sum of weights)^2 / sum of their squares.
        given: mean quality of the answers that were given.
        weighted: of the policy, by inverse propensity scores.
        doubly_robust: of the policy.
        ahead: of what was given, the policy; doubly robust, on the same questions.
        tokens: of an answer, by inverse propensity scores. `given_tokens`: of those that were given.
        choices: how often the policy chooses each arm, by model id.
    """

    answers: int
    questions: int
    matched: int
    effective: float
    given: Interval
    weighted: Interval
    doubly_robust: Interval
    ahead: Interval
    tokens: float
    given_tokens: float
    choices: dict[str, int]


def estimate(
    logged: Sequence[LoggedAnswer], policy: Policy, embed: Callable[[Sequence[str]], Vectors] | None
) -> OffPolicyEstimate:
    """Estimate a policy from answers that it did not choose.

    Args:
        embed: questions to unit vectors, float32 [questions, dimension], of the policy's kind; None: it needs none.

    Raises:
        DataError: when the answers cannot tell.
    """
    ranked = _ranked(logged, policy, embed)
    chosen = [each[0].arm.model for each in ranked]
    _check_overlap(logged, chosen)
    quality = np.array([each.quality for each in logged])
    tokens = np.array([each.tokens for each in logged])
    weights = np.array(
        [(each.arm == arm) / each.propensity for each, arm in zip(logged, chosen, strict=True)], dtype=np.float64
    )
    groups = [each.group for each in logged]
    weighted = float((weights * quality).sum() / weights.sum())
    of_given, of_chosen = _expected(logged, chosen, ranked, quality, groups)
    robust = of_chosen + weights * (quality - of_given)
    return OffPolicyEstimate(
        answers=len(logged),
        questions=len(set(groups)),
        matched=int((weights > 0).sum()),
        effective=float(weights.sum() ** 2 / (weights**2).sum()),
        given=_interval(quality, groups),
        weighted=_interval(weighted + weights * (quality - weighted) / weights.mean(), groups),
        doubly_robust=_interval(robust, groups),
        ahead=_interval(robust - quality, groups),
        tokens=float((weights * tokens).sum() / weights.sum()),
        given_tokens=float(tokens.mean()),
        choices={arm: chosen.count(arm) for arm in sorted(set(chosen))},
    )


def _ranked(
    logged: Sequence[LoggedAnswer], policy: Policy, embed: Callable[[Sequence[str]], Vectors] | None
) -> list[list[RankedArm]]:
    """How the policy ranks the arms that could have answered each question. Arms that never could stay in: without them
    it would be another policy."""
    seen = {arm for each in logged for arm in each.candidates}
    unseen = {arm.model for arm in policy.arms} - seen
    vectors = None if embed is None else embed([each.request.question for each in logged])
    found = []
    for row, each in enumerate(logged):
        request = RouteRequest(
            each.request.question,
            None if vectors is None else vectors[row],
            each.request.collection,
            each.request.language,
            each.request.key,
            frozenset({*each.candidates, *unseen}),
        )
        ranked = policy.rank(request)
        if not ranked:
            raise DataError("The policy has no arm that could have answered these questions.")
        found.append(ranked)
    return found


def _check_overlap(logged: Sequence[LoggedAnswer], chosen: Sequence[str]) -> None:
    if len({each.group for each in logged}) < 2:
        raise DataError("One question is too few to estimate from.")
    never = [arm for each, arm in zip(logged, chosen, strict=True) if arm not in each.candidates]
    if never:
        raise DataError(
            f"For {len(never)} of {len(logged)} questions the policy chooses {', '.join(sorted(set(never)))}, "
            "which could not have answered them: nothing is known of that.",
            "Let a policy that has these arms explore first.",
        )
    if not any(each.arm == arm for each, arm in zip(logged, chosen, strict=True)):
        raise DataError(
            f"None of {len(logged)} questions was answered by the arm that the policy chooses.",
            "Explore more, or for longer (routing.explore).",
        )


def _expected(
    logged: Sequence[LoggedAnswer],
    chosen: Sequence[str],
    ranked: Sequence[Sequence[RankedArm]],
    quality: Array,
    groups: Sequence[str],
) -> tuple[Array, Array]:
    """The quality that is expected of the arms that answered, and of those that the policy would have chosen: by a
    regression on the arm and the policy's own probabilities, learned of other questions."""
    arms = sorted({each.arm for each in logged} | set(chosen))
    given = _features([each.arm for each in logged], ranked, arms)
    wanted = _features(chosen, ranked, arms)
    of_given, of_chosen = np.empty(len(logged)), np.empty(len(logged))
    split = GroupKFold(n_splits=min(_FOLDS, len(set(groups))), shuffle=True, random_state=0)
    for train, rest in split.split(given, groups=groups):
        model = Ridge(alpha=1.0).fit(given[train], quality[train])
        of_given[rest] = model.predict(given[rest])
        of_chosen[rest] = model.predict(wanted[rest])
    return of_given.clip(0, 1), of_chosen.clip(0, 1)


def _features(models: Sequence[str], ranked: Sequence[Sequence[RankedArm]], arms: Sequence[str]) -> Array:
    """Which arm, and how likely the policy says it is right: float64 [answers, arms + 1]."""
    features = np.zeros((len(models), len(arms) + 1))
    for row, (model, of_row) in enumerate(zip(models, ranked, strict=True)):
        features[row, arms.index(model)] = 1
        probability = next((each.probability for each in of_row if each.arm.model == model), None)
        features[row, -1] = probability or 0.0
    return features


def _interval(values: Array, groups: Sequence[str]) -> Interval:
    """The mean of values with its interval over whole groups."""
    mean = float(values.mean())
    totals, sizes = group_totals(values, groups)
    count = len(sizes)
    deviations = totals - mean * sizes
    error = math.sqrt(count / (count - 1) * float((deviations**2).sum())) / len(values)
    half = float(stats.t.ppf(0.975, count - 1)) * error
    return Interval(value=mean, low=mean - half, high=mean + half)
