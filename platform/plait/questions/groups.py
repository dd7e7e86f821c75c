"""Which fact is of which group, and how many questions each group has.

In: asked facts, shares, a seed. Out: facts that are learned, held out and changed. What one document says twice is of
one group, so that nothing that is held out is taught in other words.
"""

import math
import random
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from plait.evaluation.answers import tokens
from plait.questions.changes import Change, Swaps, can_change
from plait.questions.corpus import Corpus
from plait.questions.fact import AskedFact, Group
from plait.recipes import GroupShares

_T = TypeVar("_T")


@dataclass(frozen=True)
class Grouped:
    """Facts by group, in a random order. The training data teach `learned`, and the old values of `changed`."""

    learned: tuple[AskedFact, ...]
    held_out: tuple[AskedFact, ...]
    changed: tuple[tuple[AskedFact, Change], ...]


def targets(count: int, shares: GroupShares) -> dict[Group, int]:
    """Questions of each group: `count` in all, in proportion to the shares (largest remainder)."""
    wanted = {group: getattr(shares, group.value) for group in Group}
    exact = {group: count * share / sum(wanted.values()) for group, share in wanted.items()}
    found = {group: math.floor(value) for group, value in exact.items()}
    by_remainder = sorted(Group, key=lambda group: found[group] - exact[group])
    for group in by_remainder[: count - sum(found.values())]:
        found[group] += 1
    return found


def assign(
    asked: Sequence[AskedFact],
    corpus: Corpus,
    swaps: Swaps,
    changed: int,
    shares: GroupShares,
    seed: int,
    taught: int | None = None,
) -> Grouped:
    """Facts by group, by their shares.

    Args:
        changed: facts of that group, at most; of few facts only the group's share.
        taught: facts that are learned or change, at most; None: by the shares.
    """
    units: dict[tuple[str, tuple[str, ...]], list[AskedFact]] = {}
    for each in asked:
        units.setdefault((each.fact.source, tuple(tokens(each.fact.value))), []).append(each)
    order = list(units.values())
    random.Random(f"{seed} groups").shuffle(order)
    untaught = shares.held_out + shares.form
    documented = shares.learned + shares.changed + untaught
    most = min(changed, round(len(order) * shares.changed / documented)) if documented else 0
    if taught is not None and shares.changed:
        most = min(most, round(taught * shares.changed / (shares.learned + shares.changed)))
    changes: list[tuple[AskedFact, Change]] = []
    rest: list[list[AskedFact]] = []
    for unit in order:
        one = unit[0]
        value = None
        if len(changes) < most and len(unit) == 1 and one.training and can_change(one.fact, corpus):
            value = swaps.swap(one.fact)
        if value is None:
            rest.append(unit)
        else:
            changes.append((one, Change(one.fact, value)))
    learned: list[AskedFact] = []
    held_out: list[AskedFact] = []
    both = shares.learned + untaught
    places = round(len(rest) * shares.learned / both) if both else 0
    for unit in rest:
        is_full = taught is not None and len(learned) + len(unit) > taught - len(changes)
        # What has no other wording than that of the eval set cannot be taught.
        if places > 0 and not is_full and all(each.training for each in unit):
            learned += unit
            places -= 1
        elif untaught:
            held_out += unit
    return Grouped(tuple(learned), tuple(held_out), tuple(changes))


def with_form(grouped: Grouped) -> list[AskedFact]:
    """The held-out facts whose replies have a form that the training data teach."""
    taught = {each.form for each in (*grouped.learned, *(each for each, _ in grouped.changed))}
    return [each for each in grouped.held_out if each.form is not None and each.form in taught]


def by_turns(items: Sequence[_T], key: Callable[[_T], Hashable]) -> list[_T]:
    """The items in turns of different keys, so that the first so many show all of them."""
    piles: dict[Hashable, list[_T]] = {}
    for item in items:
        piles.setdefault(key(item), []).append(item)
    turns = max(map(len, piles.values()), default=0)
    return [pile[turn] for turn in range(turns) for pile in piles.values() if turn < len(pile)]
