"""A calibration as a table for a terminal: what a judge is worth, by what it is asked and by kind of case."""

from collections import Counter

from rich.table import Table

from plait.evaluation.calibration.calibration import USELESS, AbilityCalibration, Calibration
from plait.evaluation.statistics.agreement import Estimate
from plait.evaluation.statistics.figure import Figure


def worth_table(calibration: Calibration) -> Table:
    """Agreement with the truth by what the judge is asked, with 95% intervals."""
    table = Table(title=f"Judge {calibration.judge} on {calibration.questions} questions", title_justify="left")
    table.add_column("asked", no_wrap=True)
    for column in ("verdicts", "unreadable", "kappa", "sensitivity", "specificity", "flips"):
        table.add_column(column, justify="right")
    for ability in calibration.abilities:
        found = ability.agreement
        worth = ("?", "?", "?")
        if found is not None:
            worth = _estimate(found.kappa), _share(found.sensitivity), _share(found.specificity)
        table.add_row(
            ability.ability,
            str(ability.asked),
            str(ability.unsaid or ""),
            *worth,
            "" if ability.flips is None else _share(ability.flips),
            style="red" if found is not None and found.is_useless else None,
        )
    return table


def kinds_table(calibration: Calibration) -> Table:
    """The share of right verdicts by how cases are made, with 95% intervals."""
    table = Table(title="Right verdicts by kind of case", title_justify="left")
    kinds = list(dict.fromkeys(kind for ability in calibration.abilities for kind in ability.by_kind))
    table.add_column("kind", no_wrap=True)
    for ability in calibration.abilities:
        table.add_column(ability.ability, justify="right")
    for kind in kinds:
        table.add_row(kind, *(_of_kind(ability, kind) for ability in calibration.abilities))
    return table


def notes(calibration: Calibration) -> list[str]:
    """What the tables do not show, a line each: what is useless, what could not be made and why, and what it took."""
    lines = [
        f"{ability.ability}: {USELESS}"
        for ability in calibration.abilities
        if ability.agreement is not None and ability.agreement.is_useless
    ]
    not_made = Counter((missing.what, missing.reason) for missing in calibration.missing)
    lines += [f"not made, {count} times: {what}. {reason}" for (what, reason), count in not_made.most_common()]
    if calibration.use.calls:
        tokens = calibration.use.prompt_tokens + calibration.use.generated_tokens
        lines.append(f"asked {calibration.use.calls} times, {tokens} tokens")
    return lines


def _of_kind(ability: AbilityCalibration, kind: str) -> str:
    found = ability.by_kind.get(kind)
    return "" if found is None else _share(found)


def _share(found: Figure) -> str:
    return f"{found.value:.0%} ({found.low:.0%} to {found.high:.0%})"


def _estimate(found: Estimate) -> str:
    return f"{found.value:.2f} ({found.low:.2f} to {found.high:.2f})"
