"""`context_recall`: the share of the facts of the expected answer that the passages support (as Ragas defines it).

It says whether retrieval found what was needed, whatever the reply made of it. Of several answers the best supported
one counts. Ragas takes one answer.
"""

from dataclasses import dataclass

from plait.evaluation.judges.judge import Judge
from plait.evaluation.metrics.facts import best, facts_in
from plait.evaluation.metrics.metric import Need
from plait.evaluation.metrics.verdicts import findings, share
from plait.evaluation.sample import Sample
from plait.evaluation.score import Score, unsaid


@dataclass(frozen=True)
class ContextRecall:
    """Supported facts / facts of the expected answer."""

    judge: Judge
    name: str = "context_recall"
    needs: frozenset[Need] = frozenset({Need.ANSWERS, Need.PASSAGES})

    async def score(self, sample: Sample) -> Score:
        """See `Metric`."""
        answers, use = await facts_in(self.judge, sample.question, sample.answers, sample.passage_texts)
        return best(
            [
                share(findings(answer.texts, answer.verdicts), use, "facts")
                if answer.texts
                else unsaid(answer.problem or "The expected answer states nothing.", use=use)
                for answer in answers
            ]
        )
