"""Cases to verdicts: the judge is asked each case, and where an order could matter, once more in the other order."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from plait.evaluation.calibration.cases import Ability, Case, CaseKind
from plait.evaluation.judges.judge import Judge, PairwiseJudge, Verdicts
from plait.evaluation.score import JudgeUse


@dataclass(frozen=True)
class CaseVerdict:
    """One verdict beside the truth.

    Attributes:
        verdict: None: the judge gave none that can be read.
        has_flipped: whether it said otherwise of the same in another order; None where there is one order only.
    """

    ability: Ability
    kind: CaseKind
    group: str
    truth: bool
    verdict: bool | None
    has_flipped: bool | None = None

    @property
    def is_right(self) -> bool:
        """A verdict that cannot be read is not right."""
        return self.verdict is self.truth


async def ask_all(
    judge: Judge, cases: Sequence[Case], concurrency: int = 8, on_case: Callable[[], None] = lambda: None
) -> tuple[list[CaseVerdict], JudgeUse]:
    """Ask a judge all cases, in their order.

    Args:
        concurrency: cases under way at once.
        on_case: called as each is done.

    Raises:
        PlaitError: when the judge cannot be asked at all.
    """
    places = asyncio.Semaphore(concurrency)

    async def asked(case: Case) -> tuple[list[CaseVerdict], JudgeUse]:
        async with places:
            found = await _ask(judge, case)
        on_case()
        return found

    answered = await asyncio.gather(*map(asked, cases))
    use = sum((use for _, use in answered), JudgeUse())
    return [verdict for verdicts, _ in answered for verdict in verdicts], use


async def _ask(judge: Judge, case: Case) -> tuple[list[CaseVerdict], JudgeUse]:
    if case.ability is Ability.PREFER:
        return await _ask_preference(judge, case)
    verdicts, use = _read(await _asked(judge, case))
    flips: list[bool | None] = [None] * len(verdicts)
    again = _in_other_order(judge, case)
    if again is not None:
        turned, more = _read(await again)
        # Passages that are judged one by one come back in the order in which they were given.
        turned = turned[::-1] if case.ability is Ability.USEFUL else turned
        flips = [one is not other for one, other in zip(verdicts, turned, strict=True)]
        use += more
    compared = [
        CaseVerdict(case.ability, case.kind, case.group, truth, verdict, flip)
        for truth, verdict, flip in zip(case.truths, verdicts, flips, strict=True)
    ]
    return compared, use


async def _ask_preference(judge: Judge, case: Case) -> tuple[list[CaseVerdict], JudgeUse]:
    if not isinstance(judge, PairwiseJudge):
        return [], JudgeUse()
    found = await judge.prefer(case.question, case.texts[0], case.texts[1])
    has_flipped = found.orders[0].holds is not found.orders[1].holds
    verdict = CaseVerdict(case.ability, case.kind, case.group, case.truths[0], found.verdict.holds, has_flipped)
    return [verdict], found.use


def _asked(judge: Judge, case: Case) -> Awaitable[Verdicts]:
    if case.ability is Ability.SUPPORT:
        return judge.support(case.texts, case.passages)
    if case.ability is Ability.USEFUL:
        return judge.useful(case.question, case.answers, case.texts)
    if case.ability is Ability.ANSWERS:
        return judge.answers_the_question(case.question, case.texts[0])
    return judge.declines(case.question, case.texts[0])


def _in_other_order(judge: Judge, case: Case) -> Awaitable[Verdicts] | None:
    """The same with its passages in reverse; None where there are not several."""
    if case.ability is Ability.SUPPORT and len(case.passages) > 1:
        return judge.support(case.texts, case.passages[::-1])
    if case.ability is Ability.USEFUL and len(case.texts) > 1:
        return judge.useful(case.question, case.answers, case.texts[::-1])
    return None


def _read(answer: Verdicts) -> tuple[list[bool | None], JudgeUse]:
    return [verdict.holds for verdict in answer.verdicts], answer.use
