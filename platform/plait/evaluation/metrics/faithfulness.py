"""`faithfulness`: the share of the reply's claims that its passages support (Es et al. 2023, Ragas, arXiv:2309.15217).

A reply that declines claims nothing, and is faithful; whether it was right to decline is for abstention to say. Ragas
gives NaN there, which its mean leaves out.
"""

from dataclasses import dataclass

from plait.evaluation.judges.judge import Judge
from plait.evaluation.metrics.metric import Need
from plait.evaluation.metrics.verdicts import claims_of, findings, share
from plait.evaluation.sample import Sample
from plait.evaluation.score import Score


@dataclass(frozen=True)
class Faithfulness:
    """Supported claims / claims."""

    judge: Judge
    name: str = "faithfulness"
    needs: frozenset[Need] = frozenset({Need.PASSAGES})

    async def score(self, sample: Sample) -> Score:
        """See `Metric`."""
        claims = await claims_of(self.judge, sample)
        if isinstance(claims, Score):
            return claims
        held = await self.judge.support(claims.texts, sample.passage_texts)
        return share(findings(claims.texts, held.verdicts), claims.use + held.use, "claims")
