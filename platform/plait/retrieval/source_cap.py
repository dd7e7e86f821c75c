"""A cap on what one document may say: others get a word in."""

from collections import Counter
from collections.abc import Sequence

from plait.index.passage import Passage


def capped_by_source(passages: Sequence[Passage], most: int) -> list[Passage]:
    """The first `most` passages of every source, in the order given."""
    taken: Counter[str] = Counter()
    kept = []
    for passage in passages:
        taken[passage.source] += 1
        if taken[passage.source] <= most:
            kept.append(passage)
    return kept
