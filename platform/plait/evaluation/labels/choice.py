"""Which samples people should label, so that their labels say most and the estimate from them holds.

Labels of only the doubtful samples say nothing about the others. So samples are drawn at random, but not at one rate:
within strata of the judge's score, with more from strata that are small, where the judge finds fault or says nothing
(as the square root of their sizes: power allocation, Bankier 1988, doi:10.1080/00031305.1988.10475551). Every stratum
is drawn from, so that each error of the judge can show.
"""

import math
import random
from collections.abc import Sequence

_FEWEST_OF_A_STRATUM = 5


def stratum(score: float | None) -> str:
    """The stratum of a sample: what the judge says of it, in thirds, or that it says nothing."""
    if score is None:
        return "unsaid"
    return "low" if score < 1 / 3 else "middle" if score < 2 / 3 else "high"


def choose(
    scores: Sequence[float | None], count: int, seed: int = 0, labelled: frozenset[int] = frozenset()
) -> list[int]:
    """Places of samples to label, in a random order that shows no stratum.

    Args:
        scores: the judge's, of every sample.
        count: how many; fewer where there are not so many, and some more where a stratum needs them.
        seed: the same seed chooses the same ones.
        labelled: places that have a label already: they count, and are not chosen again.
    """
    random_ = random.Random(seed)
    strata: dict[str, list[int]] = {}
    for place, score in enumerate(scores):
        strata.setdefault(stratum(score), []).append(place)
    chosen: list[int] = []
    for name, wanted in _allocation({name: len(places) for name, places in strata.items()}, count).items():
        open_ = [place for place in strata[name] if place not in labelled]
        have = len(strata[name]) - len(open_)
        chosen += random_.sample(open_, min(len(open_), max(0, wanted - have)))
    random_.shuffle(chosen)
    return chosen


def _allocation(sizes: dict[str, int], count: int) -> dict[str, int]:
    """How many of each stratum: as the roots of their sizes, no more than there are."""
    given = {name: min(size, _FEWEST_OF_A_STRATUM) for name, size in sizes.items()}
    while sum(given.values()) < min(count, sum(sizes.values())):
        # One at a time to the stratum that has the least of its share.
        open_ = [name for name in sizes if given[name] < sizes[name]]
        given[min(open_, key=lambda name: given[name] / math.sqrt(sizes[name]))] += 1
    return given
