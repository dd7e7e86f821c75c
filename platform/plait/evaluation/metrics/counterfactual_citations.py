"""`counterfactual_citations`: whether the reply needs the passages that it cites.

A cited passage is left out and the question asked again. If the answer stays, the model had it from elsewhere, and the
citation was an afterthought: up to 57% are (Wallat et al. 2024, arXiv:2412.18004). The score is the share of cited
passages without which the answer changes.

Two controls. Whatever else says the same is left out with the passage, or its answer would stay for a good reason. And
the question is first asked again with all passages: where the model does not repeat its answer then, a change means
nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from plait.errors import InvalidInput
from plait.evaluation.judges.judge import Judge
from plait.evaluation.judges.replies import as_statement
from plait.evaluation.metrics.citations import citing_sentences
from plait.evaluation.metrics.metric import AskAgain, Instruments, Need
from plait.evaluation.metrics.token_f1 import normalised
from plait.evaluation.metrics.verdicts import share
from plait.evaluation.sample import Sample
from plait.evaluation.score import Finding, JudgeUse, Score, unsaid


@dataclass(frozen=True)
class _Left:
    """The passages that are left; `is_sure`: whether the judge said of all that they do not say the same."""

    passages: Sequence[int]
    is_sure: bool


@dataclass(frozen=True)
class CounterfactualCitations:
    """Cited passages without which the answer changes / cited passages."""

    judge: Judge
    ask: AskAgain
    name: str = "counterfactual_citations"
    needs: frozenset[Need] = frozenset({Need.PASSAGES, Need.CITATIONS})

    @classmethod
    def of(cls, instruments: Instruments) -> "CounterfactualCitations":
        """The metric by the model that an evaluation judges.

        Raises:
            InvalidInput: when it cannot be asked again, as for samples from elsewhere.
        """
        if instruments.ask is None:
            raise InvalidInput(
                "The metric 'counterfactual_citations' asks the model again, and there is none to ask.",
                "Name a model of a running server, or leave the metric out.",
            )
        return cls(instruments.judge, instruments.ask)

    async def score(self, sample: Sample) -> Score:
        """See `Metric`. The model's own tokens are not counted as the judge's."""
        cited: dict[int, list[str]] = {}
        for sentence in citing_sentences(sample):
            for passage in sentence.passages:
                cited.setdefault(passage, []).append(sentence.text)
        if not cited:
            return unsaid("No sentence of the reply that states something cites a passage.")
        again = await self.ask.reply(sample.question, sample.passages)
        is_same, use = await self._same(sample.question, sample.reply, again)
        if is_same is None:
            return unsaid("The judge cannot say whether the model repeats its answer when it is asked again.", use=use)
        if not is_same:
            return unsaid("Asked again with all passages, the model does not repeat its answer.", use=use)
        found = []
        for passage, texts in cited.items():
            left, cost = await self._without(sample, passage, texts)
            reply = await self.ask.reply(sample.question, [sample.passages[number] for number in left.passages])
            stays, more = await self._same(sample.question, again, reply)
            use += cost + more
            found.append(_finding(sample, passage, left, stays))
        return share(found, use, "citations")

    async def _without(self, sample: Sample, passage: int, texts: Sequence[str]) -> tuple[_Left, JudgeUse]:
        """The passages that are left once none of them supports the sentences that cite this one."""
        left, use = [number for number in range(len(sample.passages)) if number != passage], JudgeUse()
        while left:
            said = await self.judge.support(texts, [sample.passages[number].text for number in left])
            use += said.use
            more = {left[verdict.passage] for verdict in said.verdicts if verdict.holds and verdict.passage is not None}
            if not more:
                return _Left(left, all(verdict.holds is False for verdict in said.verdicts)), use
            left = [number for number in left if number not in more]
        return _Left([], True), use

    async def _same(self, question: str, one: str, other: str) -> tuple[bool | None, JudgeUse]:
        """Whether two replies give the same answer: in the same words, or each states what the other does."""
        if normalised(one) == normalised(other):
            return True, JudgeUse()
        use = JudgeUse()
        for reply, against in ((one, other), (other, one)):
            claims = await self.judge.claims(question, reply)
            use += claims.use
            if claims.problem:
                return None, use
            if not claims.texts:
                return False, use  # one of two different replies declines
            said = await self.judge.support(claims.texts, [as_statement(question, against) or against])
            use += said.use
            if any(verdict.holds is None for verdict in said.verdicts):
                return None, use
            if not all(verdict.holds for verdict in said.verdicts):
                return False, use
        return True, use


def _finding(sample: Sample, passage: int, left: _Left, stays: bool | None) -> Finding:
    same = len(sample.passages) - len(left.passages) - 1
    without = f"Without this passage{f' and {same} that say the same' if same else ''}, "
    if stays is None:
        needed, reason = None, "The judge cannot say whether the answer changes."
    elif stays and not left.is_sure:
        needed, reason = None, f"{without}the answer stays, and the judge cannot say which other passages say the same."
    elif stays:
        needed, reason = False, f"{without}the answer stays: it was an afterthought."
    else:
        needed, reason = True, f"{without}the answer changes."
    return Finding(sample.passages[passage].text, needed, reason, passage)
