"""`citation_precision` and `citation_recall`: whether cited passages support what cites them, and what needs a citation
has one (Gao et al. 2023, ALCE, arXiv:2305.14627).

Each sentence of the reply is held against the passages that it cites, together. Recall: the share of sentences that
they support; a sentence without a citation is not. Precision: the share of citations that are not superfluous: the
sentence is supported by all that it cites, and either the passage supports it alone, or the others do not without it.
Other than in ALCE, refusals, questions and headings need no citation, and are left out.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from plait.evaluation.judges.judge import Judge, Verdict
from plait.evaluation.judges.replies import is_refusal, without_citations
from plait.evaluation.metrics.metric import Need
from plait.evaluation.metrics.verdicts import share
from plait.evaluation.sample import Sample
from plait.evaluation.score import Finding, JudgeUse, Score, unsaid
from plait.evaluation.sentences import sentences


@dataclass(frozen=True)
class CitingSentence:
    """A sentence of a reply that states something, without marks such as `[1]`, and the passages that it cites."""

    text: str
    passages: tuple[int, ...]


def citing_sentences(sample: Sample) -> list[CitingSentence]:
    """The sentences of a reply that need a citation, each with what its own characters cite, each passage once."""
    found = []
    for sentence in sentences(sample.reply):
        text = without_citations(sentence.text)
        if not text or text.endswith(("?", ":")) or is_refusal(text):
            continue
        cited = (each for each in sample.citations if each.start < sentence.end and each.end > sentence.start)
        found.append(CitingSentence(text, tuple(dict.fromkeys(each.passage for each in cited))))
    return found


@dataclass(frozen=True)
class CitationRecall:
    """Sentences that the passages they cite support / sentences that need a citation."""

    judge: Judge
    name: str = "citation_recall"
    needs: frozenset[Need] = frozenset({Need.PASSAGES})

    async def score(self, sample: Sample) -> Score:
        """See `Metric`."""
        if not sample.reply.strip():
            return unsaid("The reply is empty.")
        needing = citing_sentences(sample)
        if not needing:
            return Score(1.0, "No sentence of the reply needs a citation.")
        verdicts, use = await _supported(self.judge, sample, [(each.text, each.passages) for each in needing])
        found = [
            Finding(
                each.text,
                verdict.holds,
                verdict.reason if each.passages else "The sentence cites nothing.",
                _place(each.passages, verdict),
            )
            for each, verdict in zip(needing, verdicts, strict=True)
        ]
        return share(found, use, "sentences")


@dataclass(frozen=True)
class CitationPrecision:
    """Citations that support their sentence and are not superfluous / citations."""

    judge: Judge
    name: str = "citation_precision"
    needs: frozenset[Need] = frozenset({Need.PASSAGES, Need.CITATIONS})

    async def score(self, sample: Sample) -> Score:
        """See `Metric`."""
        citing = [each for each in citing_sentences(sample) if each.passages]
        if not citing:
            return unsaid("No sentence of the reply that states something cites a passage.")
        together, use = await _supported(self.judge, sample, [(each.text, each.passages) for each in citing])
        found: list[Finding] = []
        for each, verdict in zip(citing, together, strict=True):
            if len(each.passages) == 1 or not verdict.holds:
                found += [Finding(each.text, verdict.holds, verdict.reason, passage) for passage in each.passages]
                continue
            alone = [(each.text, (passage,)) for passage in each.passages]
            without = [(each.text, tuple(p for p in each.passages if p != passage)) for passage in each.passages]
            verdicts, cost = await _supported(self.judge, sample, [*alone, *without])
            use += cost
            pairs = zip(each.passages, verdicts[: len(alone)], verdicts[len(alone) :], strict=True)
            found += [_necessary(each.text, passage, one, others) for passage, one, others in pairs]
        return share(found, use, "citations")


def _necessary(sentence: str, passage: int, alone: Verdict, without: Verdict) -> Finding:
    if alone.holds or without.holds is False:
        return Finding(sentence, True, alone.reason, passage)
    if alone.holds is None or without.holds is None:
        return Finding(sentence, None, alone.reason if alone.holds is None else without.reason, passage)
    return Finding(sentence, False, "The other passages that are cited say it without this one.", passage)


async def _supported(
    judge: Judge, sample: Sample, cited: Sequence[tuple[str, tuple[int, ...]]]
) -> tuple[list[Verdict], JudgeUse]:
    """Whether passages support a sentence, for each pair; sentences with the same passages share a request."""
    by_passages: dict[tuple[int, ...], list[int]] = {}
    for place, (_, passages) in enumerate(cited):
        by_passages.setdefault(passages, []).append(place)
    said = await asyncio.gather(
        *(
            judge.support([cited[place][0] for place in places], [sample.passages[number].text for number in passages])
            for passages, places in by_passages.items()
        )
    )
    verdicts = {
        place: verdict
        for places, found in zip(by_passages.values(), said, strict=True)
        for place, verdict in zip(places, found.verdicts, strict=True)
    }
    return [verdicts[place] for place in range(len(cited))], sum((each.use for each in said), JudgeUse())


def _place(passages: Sequence[int], verdict: Verdict) -> int | None:
    """The passage of the sample that a verdict over some of them names."""
    return None if verdict.passage is None or not passages else passages[verdict.passage]
