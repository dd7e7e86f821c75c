"""What the LLM replicas of this benchmark's own Ray take of memory, and whether it grows."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

import psutil

MAX_GROWTH_BYTES = 20 * 2**20
MAX_GROWTH_SHARE = 0.03


def llm_replicas() -> list[psutil.Process]:
    """The replicas below the Ray of this home; others on this machine have a Ray of their own."""
    from plait.local.ray_head import temp_dir

    raylets = [p for p in psutil.process_iter() if p.name() == "raylet" and str(temp_dir()) in " ".join(p.cmdline())]
    return [child for raylet in raylets for child in raylet.children() if ":LLM" in " ".join(child.cmdline())]


@dataclass(frozen=True)
class Growth:
    """Of resident memory: from the median of a run's second third, when all is warm, to that of the last."""

    grown_bytes: float
    ratio: float

    @property
    def is_flat(self) -> bool:
        return self.grown_bytes <= MAX_GROWTH_BYTES or self.ratio - 1 <= MAX_GROWTH_SHARE


def largest_growth(samples: Sequence[Sequence[int]]) -> Growth:
    """Of the replica that grew most; a sample is every replica's bytes at one time."""
    third = len(samples) // 3
    growths = []
    for replica in zip(*samples, strict=True):
        second, last = median(replica[third : 2 * third]), median(replica[2 * third :])
        growths.append(Growth(last - second, last / second))
    return max(growths, key=lambda growth: growth.grown_bytes)
