"""From claims and verdicts to a score: the share that holds, or why it cannot be said.

A score is never a mean over the verdicts that could be read: with one of five, the other four are not known to be like
it.
"""

from collections.abc import Sequence

from plait.evaluation.judges.judge import Claims, Judge, Verdict
from plait.evaluation.sample import Sample
from plait.evaluation.score import Finding, JudgeUse, Score, unsaid


async def claims_of(judge: Judge, sample: Sample) -> Claims | Score:
    """The claims of a reply; where there are none to be judged, the score that follows."""
    if not sample.reply.strip():
        return unsaid("The reply is empty.")
    claims = await judge.claims(sample.question, sample.reply)
    if claims.problem:
        return unsaid(claims.problem, use=claims.use)
    if not claims.texts:
        return Score(1.0, "The reply claims nothing.", use=claims.use)
    return claims


def findings(texts: Sequence[str], verdicts: Sequence[Verdict]) -> tuple[Finding, ...]:
    """What was found of each text."""
    pairs = zip(texts, verdicts, strict=True)
    return tuple(Finding(text, verdict.holds, verdict.reason, verdict.passage) for text, verdict in pairs)


def share(found: Sequence[Finding], use: JudgeUse, what: str) -> Score:
    """The share of findings that hold, of at least one; `what`: their name in a sentence, as in "claims"."""
    return unread(found, use, what) or Score(
        sum(bool(each.holds) for each in found) / len(found), findings=tuple(found), use=use
    )


def unread(found: Sequence[Finding], use: JudgeUse, what: str) -> Score | None:
    """A score that cannot be said, where one of the findings cannot; else None."""
    lost = [each for each in found if each.holds is None]
    if not lost:
        return None
    return unsaid(f"{len(lost)} of {len(found)} {what} have no verdict. {lost[0].reason}", tuple(found), use)
