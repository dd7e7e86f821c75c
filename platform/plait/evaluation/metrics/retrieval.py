"""`retrieval_recall`, `_precision`, `_mrr` and `_ndcg`: whether what holds the answer was found.

ir-measures computes them (MacAvaney et al. 2022, arXiv:2111.13466), by trec_eval. What is found and what is right are
documents, each at the place of its first passage; or chunks, where the reference passages name them. The cutoff is what
stood in the prompt: no model sees more. They ask no judge.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from plait.evaluation.metrics.metric import Need
from plait.evaluation.sample import Sample
from plait.evaluation.score import Finding, Score


@dataclass(frozen=True)
class Ranking:
    """What was found for a question, each once and the best first, and what is right, at least one."""

    found: tuple[str, ...]
    right: frozenset[str]

    @classmethod
    def of(cls, found: Sequence[str], right: Sequence[str]) -> "Ranking":
        """Of names that may stand there more than once; the first place counts."""
        return cls(tuple(dict.fromkeys(found)), frozenset(right))


def measured(measure: str, rankings: Sequence[Ranking]) -> list[float]:
    """A measure of each question, 0 to 1; `measure`: in the words of ir-measures, as in `R@5`, `RR@10`, `nDCG@10`."""
    import ir_measures

    asked = [each for each in rankings if each.found]  # with nothing found there is nothing to measure
    right = {str(number): dict.fromkeys(each.right, 1) for number, each in enumerate(asked)}
    found = {
        str(number): {name: -float(place) for place, name in enumerate(each.found)} for number, each in enumerate(asked)
    }
    computed = ir_measures.iter_calc([ir_measures.parse_measure(measure)], right, found)
    values = {each.query_id: float(each.value) for each in computed}
    of_asked = iter(values[str(number)] for number in range(len(asked)))
    return [next(of_asked) if each.found else 0.0 for each in rankings]


@dataclass(frozen=True)
class RetrievalMetric:
    """A measure of the passages of a sample.

    Attributes:
        measure: of ir-measures, without its cutoff: `R`, `P`, `RR`, or `nDCG` (Järvelin and Kekäläinen 2002).
    """

    name: str
    measure: str
    needs: frozenset[Need] = frozenset({Need.SOURCES, Need.PASSAGES})

    async def score(self, sample: Sample) -> Score:
        """See `Metric`."""
        ranking = _ranking(sample)
        (value,) = measured(f"{self.measure}@{max(1, len(ranking.found))}", [ranking])
        return Score(value, findings=tuple(Finding(name, name in ranking.right) for name in ranking.found))


def _ranking(sample: Sample) -> Ranking:
    chunks = [passage.chunk_id for passage in sample.reference_passages]
    if chunks and all(chunks) and all(passage.chunk_id for passage in sample.passages):
        return Ranking.of([passage.chunk_id for passage in sample.passages], chunks)
    return Ranking.of([passage.source for passage in sample.passages], sample.sources)
