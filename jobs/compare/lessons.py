"""What a kind of question teaches about how to answer it: to retrieve, to fine-tune, to do both, or nothing.

A lesson follows from the arms that may be best, all others being surely worse: where all of these retrieve, retrieval
is what it takes; where all were trained, training is; where all do both, both. So "both" is said only where it beats
either alone. Arms that may be best and have nothing in common are a tie. Where no arm was right, nothing is best.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from plait.jobs.compare.arms import Arm
from plait.jobs.compare.verdict import KindVerdict


class Lesson(StrEnum):
    """What it takes."""

    RETRIEVE = "retrieve"
    FINE_TUNE = "fine-tune"
    BOTH = "both"
    BASE = "base"
    EXAMPLES = "examples"
    ENDPOINT = "endpoint"
    TIE = "tie"
    NOTHING = "nothing"

    @property
    def names_arms(self) -> bool:
        """Whether it says what to do."""
        return self not in (Lesson.TIE, Lesson.NOTHING)


_OF_ONE: Mapping[str, Lesson] = {"base": Lesson.BASE, "icl": Lesson.EXAMPLES, "endpoint": Lesson.ENDPOINT}


@dataclass(frozen=True)
class Taught:
    """A lesson, and the kinds of question that teach it.

    Attributes:
        arm: the cheapest that does it, of those that may be best at all of these kinds, as far as there is one; None
            of the lesson "nothing".
        rival: the best of those that do otherwise, all of which are surely worse; None where there is none.
    """

    lesson: Lesson
    kinds: Sequence[KindVerdict]
    arm: str | None
    rival: str | None


def lesson_of(best: Sequence[Arm]) -> Lesson:
    """What arms have in common that may be best."""
    if not best:
        return Lesson.NOTHING
    retrieve, trained = all(arm.retrieves for arm in best), all(bool(arm.trained) for arm in best)
    if retrieve and trained:
        return Lesson.BOTH
    if retrieve:
        return Lesson.RETRIEVE
    if trained:
        return Lesson.FINE_TUNE
    return _OF_ONE[best[0].kind] if len(best) == 1 else Lesson.TIE


def taught(
    kinds: Sequence[KindVerdict], arms: Mapping[str, Arm], accuracy: Mapping[str, Mapping[str, float]]
) -> list[Taught]:
    """The lessons, in the order in which they first come, with their kinds; last ties, and what none is right at.

    Args:
        arms: by name.
        accuracy: by arm, then by kind, as far as it was asked.
    """
    by_lesson: dict[Lesson, list[KindVerdict]] = {}
    for kind in kinds:
        by_lesson.setdefault(lesson_of([arms[name] for name in kind.best]), []).append(kind)
    found = [_taught(lesson, of_lesson, arms, accuracy) for lesson, of_lesson in by_lesson.items()]
    return sorted(found, key=lambda each: (each.lesson == Lesson.NOTHING, each.lesson == Lesson.TIE))


def mean_accuracy(arm: str, kinds: Sequence[KindVerdict], accuracy: Mapping[str, Mapping[str, float]]) -> float | None:
    """Over some kinds, each with the same weight; None where it was not asked one."""
    values = [accuracy[arm].get(kind.kind) for kind in kinds]
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if len(known) == len(values) else None


def _taught(
    lesson: Lesson,
    kinds: Sequence[KindVerdict],
    arms: Mapping[str, Arm],
    accuracy: Mapping[str, Mapping[str, float]],
) -> Taught:
    everywhere = [kind.recommended for kind in kinds if all(kind.recommended in each.best for each in kinds)]
    arm = everywhere[0] if everywhere else kinds[0].recommended
    worse = {
        name: mean
        for name in arms
        if not any(name in kind.best for kind in kinds) and (mean := mean_accuracy(name, kinds, accuracy)) is not None
    }
    # Of equals the one that answers the question otherwise: training beside retrieval, and the other way round.
    others = [name for name in worse if _does_otherwise(arms[name], lesson)]
    rival = max(others, key=lambda name: (worse[name], bool(arms[name].trained) != arms[name].retrieves), default=None)
    return Taught(lesson, kinds, arm, rival)


def _does_otherwise(arm: Arm, lesson: Lesson) -> bool:
    if lesson == Lesson.RETRIEVE:
        return not arm.retrieves
    if lesson == Lesson.FINE_TUNE:
        return not arm.trained
    return lesson != Lesson.BOTH or not (arm.retrieves and arm.trained)
