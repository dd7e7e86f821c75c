"""In which order arms are asked: as the policy ranks them, but late ones last, and perhaps one drawn at random first.

In: ranked arms, what is known of their pace, how much is left to chance. Out: a `Plan`. It asks nobody.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import takewhile

from plait.evaluation.live.route import Route
from plait.routing.policy import RankedArm

_MOST_CANDIDATES = 16
"""As many of the best arms may be drawn."""
MOST_ASKED = 3
"""Arms that a request is put to, one after the other: of an overloaded server a third will not be free either."""


@dataclass(frozen=True)
class Plan:
    """Arms in the order in which they are asked.

    Attributes:
        notes: what is said before the reason of the arm that answers, a sentence each.
        late: arms that come before all these, but usually take longer than the time that is left.
    """

    order: tuple[RankedArm, ...]
    route: Route
    notes: tuple[str, ...] = ()
    late: tuple[str, ...] = ()

    def route_of(self, place: int, notes: Sequence[str]) -> Route:
        """The route when the arm at a place of the order answers; `notes`: why not an earlier one."""
        ranked = self.order[place]
        reason = " ".join((*self.notes, *notes, ranked.reason))
        found = replace(self.route, arm=ranked.arm.model, reason=reason, expected_tokens=ranked.arm.tokens)
        return found if place == 0 else replace(found, is_explored=False, propensity=None)


def plan(
    ranked: Sequence[RankedArm],
    about: Route,
    usual_s: Callable[[str], float | None],
    left_s: float | None,
    explore: float,
    chance: random.Random,
) -> Plan:
    """The order in which ranked arms are asked.

    Args:
        about: the route as far as it is known; the arm, the probabilities and what is drawn are filled in.
        usual_s: how long an arm's answers take; None: not known.
        left_s: until the deadline; None: there is none.
        explore: the share of requests whose arm is drawn.
    """
    late = {each.arm.model: took for each in ranked if (took := _late_s(each, usual_s, left_s)) is not None}
    quick = [each for each in ranked if each.arm.model not in late]
    slow = sorted((each for each in ranked if each.arm.model in late), key=lambda each: late[each.arm.model])
    order = [*quick, *slow]
    passed_over = [each.arm.model for each in takewhile(lambda each: each is not order[0], ranked)]
    notes = [f"{arm} would be too late: it takes {late[arm]:.3g} s of the {left_s:.3g} s left." for arm in passed_over]
    candidates = (quick or order[:1])[:_MOST_CANDIDATES]
    drawn, is_explored = 0, False
    if explore > 0 and chance.random() < explore:
        drawn, is_explored = chance.randrange(len(candidates)), True
        notes.append("It was drawn at random (routing.explore).")
    propensity = None
    if explore > 0:
        propensity = explore / len(candidates) + (1 - explore if drawn == 0 else 0.0)
    order.insert(0, order.pop(drawn))
    told = order[:_MOST_CANDIDATES]
    probabilities = {each.arm.model: each.probability for each in told if each.probability is not None}
    route = replace(
        about,
        probabilities=probabilities,
        is_explored=is_explored,
        propensity=propensity,
        candidates=tuple(each.arm.model for each in candidates),
    )
    return Plan(tuple(order[:MOST_ASKED]), route, tuple(notes), tuple(passed_over))


def _late_s(ranked: RankedArm, usual_s: Callable[[str], float | None], left_s: float | None) -> float | None:
    """How long an arm takes that would be late; None: it would not, or nobody knows."""
    took = None if left_s is None else usual_s(ranked.arm.model)
    return took if took is not None and left_s is not None and took > left_s else None
