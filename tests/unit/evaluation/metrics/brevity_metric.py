"""A metric that Plait does not have, in one file: whether a reply is short, for docs/extending.md."""

from dataclasses import dataclass

from plait.evaluation.metrics.metric import Need, register
from plait.evaluation.sample import Sample
from plait.evaluation.score import Score, unsaid


@dataclass(frozen=True)
class Brevity:
    """1 for a reply of no more words than the longest answer, less for a longer one."""

    name: str = "brevity"
    needs: frozenset[Need] = frozenset({Need.ANSWERS})

    async def score(self, sample: Sample) -> Score:
        words = len(sample.reply.split())
        if not words:
            return unsaid("The reply is empty.")
        longest = max(len(answer.split()) for answer in sample.answers)
        return Score(min(1.0, longest / words), f"{words} words, where the answer has {longest}.")


register("brevity", lambda instruments: Brevity())
