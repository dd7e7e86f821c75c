"""What a judge is worth on one's own data: how its verdicts agree with the truth, by what it was asked and by kind.

In: cases and a judge. Out: a `Calibration`, which a report shows beside the figures that the judge made. It is kept
as JSON, one for each judge, and knows neither where questions come from nor how it is shown.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

from pydantic import BaseModel, ConfigDict, TypeAdapter

from plait.evaluation.calibration.ask import CaseVerdict, ask_all
from plait.evaluation.calibration.cases import Ability, CaseSet
from plait.evaluation.calibration.material import Missing
from plait.evaluation.judges.judge import Judge
from plait.evaluation.kept_json import read_kept
from plait.evaluation.score import JudgeUse
from plait.evaluation.statistics.agreement import Agreement, agreement
from plait.evaluation.statistics.figure import Figure, figure
from plait.whole_files import write_whole

USELESS = "useless: cannot be told from chance on your data"

FILE_NAME = "calibration.json"

_ASKED_BY: dict[str, Ability] = {
    "abstention": Ability.DECLINES,
    "answer_relevance": Ability.ANSWERS,
    "citation_precision": Ability.SUPPORT,
    "citation_recall": Ability.SUPPORT,
    "context_precision": Ability.USEFUL,
    "context_recall": Ability.SUPPORT,
    "correctness": Ability.SUPPORT,
    "counterfactual_citations": Ability.SUPPORT,
    "faithfulness": Ability.SUPPORT,
    "noise_sensitivity": Ability.SUPPORT,
}
"""What each judged metric asks its judge."""


class AbilityCalibration(BaseModel):
    """What a judge's verdicts of one sort are worth.

    Attributes:
        asked: verdicts that were asked for.
        unsaid: those of them that could not be read; each counts as wrong.
        agreement: None where all or none of the cases are true.
        by_kind: the share of right verdicts by how the cases are made.
        flips: the share of verdicts that were otherwise in another order; None where nothing has an order.
    """

    model_config = ConfigDict(frozen=True)

    ability: Ability
    asked: int
    unsaid: int
    agreement: Agreement | None
    by_kind: dict[str, Figure]
    flips: Figure | None

    @property
    def sentence(self) -> str:
        """As in "kappa 0.61 (0.48 to 0.74), sensitivity 91%, specificity 70%"."""
        if self.agreement is None:
            return "not known: cases of both truths could not be made"
        kappa = self.agreement.kappa
        said = (
            f"kappa {kappa.value:.2f} ({kappa.low:.2f} to {kappa.high:.2f}), "
            f"sensitivity {self.agreement.sensitivity.value:.0%}, specificity {self.agreement.specificity.value:.0%}"
        )
        return f"{USELESS}; {said}" if self.agreement.is_useless else said


class Calibration(BaseModel):
    """What a judge is worth on the questions of one eval set.

    Attributes:
        judge: its name.
        seed: that the cases were made with.
        questions: that cases could be made of.
        missing: what could not be made, and why.
        use: what asking took.
    """

    model_config = ConfigDict(frozen=True)

    judge: str
    seed: int
    questions: int
    abilities: list[AbilityCalibration]
    missing: list[Missing]
    use: JudgeUse

    def of(self, ability: Ability) -> AbilityCalibration | None:
        """What its verdicts of one sort are worth; None where it was not asked for any."""
        return next((each for each in self.abilities if each.ability is ability), None)


async def calibrate(
    judge: Judge, made: CaseSet, concurrency: int = 8, on_case: Callable[[], None] = lambda: None
) -> Calibration:
    """Ask the judge all cases, and compare what it says with what is true.

    Args:
        concurrency: cases under way at once.
        on_case: called as each is done.

    Raises:
        PlaitError: when the judge cannot be asked at all.
    """
    verdicts, use = await ask_all(judge, made.cases, concurrency, on_case)
    abilities = [
        _ability(ability, mine)
        for ability in Ability
        if (mine := [verdict for verdict in verdicts if verdict.ability is ability])
    ]
    return Calibration(
        judge=judge.name,
        seed=made.seed,
        questions=made.questions,
        abilities=abilities,
        missing=list(made.missing),
        use=use,
    )


def worth_beside(metric: str, calibration: Calibration | None) -> str | None:
    """What to show beside a figure of a judged metric: a sentence of what the judge's verdicts are worth.

    None: the metric asks no judge. Without a calibration the sentence says so.
    """
    ability = _ASKED_BY.get(metric)
    if ability is None:
        return None
    found = calibration.of(ability) if calibration is not None else None
    return "judge not calibrated" if found is None else f"judge {found.sentence}"


def read_calibrations(folder: Path) -> dict[str, Calibration]:
    """The calibrations of a folder by the judge's name; none where there is no file.

    Raises:
        DataError: when the file is not one of calibrations.
    """
    return read_kept(folder / FILE_NAME, _FILE) or {}


def keep_calibration(folder: Path, calibration: Calibration) -> Path:
    """Write a calibration beside those of other judges; returns the file."""
    kept = {**read_calibrations(folder), calibration.judge: calibration}
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / FILE_NAME
    write_whole(path, _FILE.dump_json(kept, indent=2))
    return path


_FILE = TypeAdapter(dict[str, Calibration])


def _ability(ability: Ability, verdicts: Sequence[CaseVerdict]) -> AbilityCalibration:
    groups = [each.group for each in verdicts]
    turned = [each for each in verdicts if each.has_flipped is not None]
    kinds = list(dict.fromkeys(each.kind for each in verdicts))
    return AbilityCalibration(
        ability=ability,
        asked=len(verdicts),
        unsaid=sum(each.verdict is None for each in verdicts),
        agreement=agreement([each.truth for each in verdicts], [each.verdict for each in verdicts], groups),
        by_kind={str(kind): _right_of([each for each in verdicts if each.kind is kind]) for kind in kinds},
        flips=figure([float(bool(each.has_flipped)) for each in turned], [each.group for each in turned])
        if turned
        else None,
    )


def _right_of(verdicts: Sequence[CaseVerdict]) -> Figure:
    return figure([float(each.is_right) for each in verdicts], [each.group for each in verdicts])
