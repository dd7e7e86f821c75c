"""`correctness`: which facts of the expected answer the reply has, which it lacks and which it contradicts.

Found / (found + missing + 2 x contradicted): a fact that is contradicted counts twice, as one that is missing and as
one that is wrong, as in the critical success index (Schaefer 1990) of true positives, false negatives and false
positives. What the reply says beyond the answer costs nothing: whether that is grounded is for faithfulness to say.
"""

from dataclasses import dataclass

from plait.evaluation.judges.judge import Judge
from plait.evaluation.judges.replies import as_statement
from plait.evaluation.metrics.facts import AnswerFacts, best, facts_in
from plait.evaluation.metrics.metric import Need
from plait.evaluation.metrics.verdicts import unread
from plait.evaluation.sample import Sample
from plait.evaluation.score import Finding, JudgeUse, Score, unsaid


@dataclass(frozen=True)
class Correctness:
    """The best over the answers; with one that cannot be judged it cannot be said, unless another is met in full."""

    judge: Judge
    name: str = "correctness"
    needs: frozenset[Need] = frozenset({Need.ANSWERS})

    async def score(self, sample: Sample) -> Score:
        """See `Metric`."""
        if not sample.reply.strip():
            return Score(0.0, "The reply is empty.")
        reply = as_statement(sample.question, sample.reply) or sample.reply
        answers, use = await facts_in(self.judge, sample.question, sample.answers, [reply])
        return best([_of_one(answer, use) for answer in answers])


def _of_one(answer: AnswerFacts, use: JudgeUse) -> Score:
    if not answer.texts:
        return unsaid(answer.problem or "The expected answer states nothing.", use=use)
    found = tuple(
        Finding(fact, verdict.holds, "The reply says otherwise." if verdict.is_contradicted else verdict.reason)
        for fact, verdict in zip(answer.texts, answer.verdicts, strict=True)
    )
    lost = unread(found, use, "facts")
    if lost is not None:
        return lost
    has = sum(bool(verdict.holds) for verdict in answer.verdicts)
    wrong = sum(verdict.is_contradicted for verdict in answer.verdicts)
    missing = len(answer.texts) - has - wrong
    reason = f"Facts of the expected answer: {has} found, {missing} missing, {wrong} contradicted."
    return Score(has / (has + missing + 2 * wrong), reason, found, use)
