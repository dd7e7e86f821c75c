"""What a judge is worth is what it says of cases of known truth: good, useless, silent and swayed judges."""

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import pytest

from plait.errors import DataError
from plait.evaluation.answers import is_correct
from plait.evaluation.calibration.calibration import (
    USELESS,
    Calibration,
    calibrate,
    keep_calibration,
    read_calibrations,
    worth_beside,
)
from plait.evaluation.calibration.cases import Ability, CaseKind, make_cases
from plait.evaluation.calibration.material import Material
from plait.evaluation.judges.judge import Claims, Preference, Verdict, Verdicts
from plait.evaluation.metrics.metric import Instruments, metric, metric_names
from plait.evaluation.score import JudgeUse

MATERIAL = [
    Material(
        number,
        f"What is the code of item {number}?",
        (f"{number}7.{number}",),
        f"Item {number} has code {number}7.{number}",
        f"{number}.md",
        f"{number}",
    )
    for number in range(40)
]
CASES = make_cases(MATERIAL)


class Reader:
    """Sees whether the quoted answer stands in a passage, and whether it is denied."""

    name = "reader"

    async def claims(self, question: str, reply: str) -> Claims:
        return Claims((reply,), JudgeUse())

    async def support(self, claims: Sequence[str], passages: Sequence[str]) -> Verdicts:
        return self._said([self._supported(claim, passages) for claim in claims])

    async def useful(self, question: str, answers: Sequence[str], passages: Sequence[str]) -> Verdicts:
        return self._said([any(is_correct(passage, answer) for answer in answers) for passage in passages])

    async def answers_the_question(self, question: str, reply: str) -> Verdicts:
        return self._said(['"' in reply])

    async def declines(self, question: str, reply: str) -> Verdicts:
        return self._said(['"' not in reply])

    def _supported(self, claim: str, passages: Sequence[str]) -> bool:
        item, answer = claim.split("item ")[1].split("?")[0], claim.split('"')[3]
        return " not " not in claim and any(f"Item {item} has code {answer}" == passage for passage in passages)

    def _said(self, verdicts: Sequence[bool | None]) -> Verdicts:
        return Verdicts(tuple(Verdict(each, "" if each is not None else "?") for each in verdicts), JudgeUse(calls=1))


class Guesser(Reader):
    """Says anything."""

    name = "guesser"

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def _said(self, verdicts: Sequence[bool | None]) -> Verdicts:
        return super()._said([self._random.random() < 0.8 for _ in verdicts])


class Flatterer(Reader):
    """Says yes to everything."""

    name = "flatterer"

    def _said(self, verdicts: Sequence[bool | None]) -> Verdicts:
        return super()._said([True] * len(verdicts))


class Silent(Reader):
    name = "silent"

    def _said(self, verdicts: Sequence[bool | None]) -> Verdicts:
        return super()._said([None] * len(verdicts))


class Hasty(Reader):
    """Reads the first passage only, and prefers the first reply."""

    name = "hasty"

    async def support(self, claims: Sequence[str], passages: Sequence[str]) -> Verdicts:
        return await super().support(claims, passages[:1])

    async def prefer(self, question: str, first: str, second: str) -> Preference:
        return Preference(Verdict(None, "?"), (Verdict(True), Verdict(False)), JudgeUse())


async def test_a_judge_that_reads_is_told_from_chance() -> None:
    found = (await calibrate(Reader(), CASES)).of(Ability.SUPPORT)
    assert found is not None
    assert found.agreement is not None
    assert found.agreement.raw == 1.0
    assert found.agreement.kappa.value == 1.0
    assert 0.7 < found.agreement.kappa.low < 1.0
    assert not found.agreement.is_useless
    assert set(found.by_kind) == set(CaseKind)
    assert (found.unsaid, found.flips.value if found.flips else None) == (0, 0.0)


@pytest.mark.parametrize("judge", [Guesser(0), Guesser(1), Flatterer(), Silent()])
async def test_a_judge_that_cannot_be_told_from_chance_is_said_to_be_useless(judge: Reader) -> None:
    found = await calibrate(judge, CASES)
    for ability in found.abilities:
        assert ability.agreement is not None
        assert ability.agreement.is_useless
        assert ability.sentence.startswith("useless: cannot be told from chance on your data; kappa ")
    assert worth_beside("faithfulness", found) == f"judge {found.abilities[0].sentence}"


async def test_a_high_share_of_right_verdicts_is_not_agreement() -> None:
    class Denier(Reader):
        def _said(self, verdicts: Sequence[bool | None]) -> Verdicts:
            return super()._said([False] * len(verdicts))

    found = (await calibrate(Denier(), CASES)).of(Ability.SUPPORT)
    assert found is not None
    assert found.agreement is not None
    assert found.agreement.raw > 0.7
    assert found.agreement.kappa.value == pytest.approx(0)


async def test_verdicts_that_cannot_be_read_count_against_a_judge() -> None:
    found = (await calibrate(Silent(), CASES)).of(Ability.SUPPORT)
    assert found is not None
    assert found.agreement is not None
    assert found.unsaid == found.asked
    assert found.agreement.sensitivity.value == found.agreement.specificity.value == 0.0


async def test_verdicts_that_change_with_the_order_are_counted() -> None:
    found = await calibrate(Hasty(), CASES)
    support, prefer = found.of(Ability.SUPPORT), found.of(Ability.PREFER)
    assert support is not None
    assert support.flips is not None
    assert support.flips.value is not None
    assert support.flips.value > 0.2
    assert prefer is not None
    assert prefer.flips is not None
    assert prefer.flips.value == 1.0
    assert prefer.unsaid == prefer.asked
    assert (await calibrate(Reader(), CASES)).of(Ability.PREFER) is None


async def test_calibrations_of_several_judges_are_kept_side_by_side(tmp_path: Path) -> None:
    first, second = await calibrate(Reader(), CASES), await calibrate(Flatterer(), CASES)
    assert read_calibrations(tmp_path) == {}
    keep_calibration(tmp_path, first)
    keep_calibration(tmp_path, second)
    assert read_calibrations(tmp_path) == {"reader": first, "flatterer": second}
    assert first.use == JudgeUse(calls=first.use.calls)


async def test_what_is_no_calibration_is_refused(tmp_path: Path) -> None:
    (tmp_path / "calibration.json").write_text('{"x": {"judge": 1}}')
    with pytest.raises(DataError, match=r"calibration\.json' cannot be read"):
        read_calibrations(tmp_path)


def test_without_cases_a_sentence_says_why() -> None:
    with pytest.raises(DataError, match=r"No case of known truth can be made.*two questions"):
        make_cases(MATERIAL[:1])


def test_a_metric_shows_what_its_judge_is_worth() -> None:
    assert worth_beside("contains", None) is None
    assert worth_beside("faithfulness", None) == "judge not calibrated"
    empty = Calibration(judge="x", seed=0, questions=0, abilities=[], missing=[], use=JudgeUse())
    assert worth_beside("abstention", empty) == "judge not calibrated"


def test_every_metric_that_asks_a_judge_shows_what_it_is_worth() -> None:
    instruments = Instruments(Reader(), embedding=cast(Any, object()), ask=cast(Any, object()))
    asking = {name for name in metric_names() if hasattr(metric(name, instruments), "judge")}
    assert asking == {name for name in metric_names() if worth_beside(name, None) is not None}


def test_useless_is_said_in_these_words() -> None:
    assert USELESS == "useless: cannot be told from chance on your data"
