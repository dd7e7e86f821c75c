"""`noise_sensitivity`: how well the reply resists passages that mislead (Ru et al. 2024, RAGChecker, arXiv:2408.08067).

1 - (wrong claims that the passages support) / claims. A claim is wrong where neither the expected answers nor the
reference passages support it. Higher is better here, as everywhere; Ragas and RAGChecker count the sensitivity itself,
and tell claims from useful passages from those from other passages, for which every claim is held against every
passage.
"""

from dataclasses import dataclass

from plait.evaluation.judges.judge import Judge
from plait.evaluation.judges.replies import as_statement
from plait.evaluation.metrics.metric import Need
from plait.evaluation.metrics.verdicts import claims_of, findings, unread
from plait.evaluation.sample import Sample
from plait.evaluation.score import Finding, Score


@dataclass(frozen=True)
class NoiseSensitivity:
    """Share of the reply's claims that are not both wrong and taken from a passage."""

    judge: Judge
    name: str = "noise_sensitivity"
    needs: frozenset[Need] = frozenset({Need.ANSWERS, Need.PASSAGES})

    async def score(self, sample: Sample) -> Score:
        """See `Metric`."""
        claims = await claims_of(self.judge, sample)
        if isinstance(claims, Score):
            return claims
        truth = [as_statement(sample.question, answer) or answer for answer in sample.answers]
        truth += [passage.text for passage in sample.reference_passages]
        right = await self.judge.support(claims.texts, truth)
        use = claims.use + right.use
        lost = unread(findings(claims.texts, right.verdicts), use, "claims")
        if lost is not None:
            return lost
        wrong = [text for text, verdict in zip(claims.texts, right.verdicts, strict=True) if not verdict.holds]
        if not wrong:
            return Score(1.0, "The reply has no wrong claim.", use=use)
        taken = await self.judge.support(wrong, sample.passage_texts)
        use += taken.use
        lost = unread(findings(wrong, taken.verdicts), use, "wrong claims")
        if lost is not None:
            return lost
        why = {True: "Wrong, and from a passage.", False: "Wrong, and from no passage."}
        found = tuple(
            Finding(text, not verdict.holds, why[bool(verdict.holds)], verdict.passage)
            for text, verdict in zip(wrong, taken.verdicts, strict=True)
        )
        misled = sum(not each.holds for each in found)
        reason = f"{misled} of {len(wrong)} wrong claims are from passages."
        return Score(1 - misled / len(claims.texts), reason, found, use)
