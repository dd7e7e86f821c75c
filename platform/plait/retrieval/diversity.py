"""Diversity: passages that say something new before passages that say the same again."""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from plait.index.passage import Passage


def diversified(
    passages: Sequence[Passage], vectors: Mapping[str, npt.NDArray[np.float32]], relevance_share: float
) -> list[Passage]:
    """The passages by maximal marginal relevance (Carbonell and Goldstein 1998).

    One by one the passage is taken that is relevant and unlike those that were taken before. Its relevance is its place
    in the order given, 1 for the first to 0 for the last: scores of different rankers have different scales.

    Args:
        passages: best first.
        vectors: of their chunks, by `chunk_id`; unit length.
        relevance_share: 1 leaves the order as it is, 0 looks only at how unlike the passages are, 0.7 is usual.
    """
    if not passages:
        return []
    stacked = np.stack([vectors[passage.chunk_id] for passage in passages])
    likeness = stacked @ stacked.T
    gain = relevance_share * np.linspace(1, 0, len(passages))
    nearest = np.zeros(len(passages))  # likeness to the nearest that is taken
    taken: list[int] = []
    while len(taken) < len(passages):
        marginal = gain - (1 - relevance_share) * nearest
        marginal[taken] = -np.inf
        best = int(np.argmax(marginal))
        nearest = likeness[best] if not taken else np.maximum(nearest, likeness[best])
        taken.append(best)
    return [passages[i] for i in taken]
