"""Whether another form of an embedding model makes the vectors of the original."""

import numpy as np
import numpy.typing as npt

PROBES = ("Where?", "Ray Serve keeps REPLICAS warm; Straße, naïve, 東京.", "A longer text of many words. " * 12)
"""Short texts lose most by rounding; lengths, cases and scripts are mixed so that padding and tokenizers show."""
_LEAST_COSINE = 0.999


def are_the_same(ours: npt.NDArray[np.float32], original: npt.NDArray[np.float32]) -> bool:
    """Whether each of the vectors [n, dimension] has a cosine of at least 0.999 to its original."""
    lengths = np.linalg.norm(ours, axis=1) * np.linalg.norm(original, axis=1)
    return bool(((ours * original).sum(axis=1) / lengths).min() >= _LEAST_COSINE)
