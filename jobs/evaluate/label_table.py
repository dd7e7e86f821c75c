"""What labels say of every arm, as a table for a terminal."""

from collections.abc import Sequence

from rich.markup import escape
from rich.table import Table

from plait.jobs.evaluate.labelling import ArmEstimate


def estimates_table(metric: str, estimates: Sequence[ArmEstimate]) -> Table:
    """The judge's mean of every arm beside the one that people's labels give, with 95% intervals."""
    table = Table(title=f"{metric}, by the judge and by people", title_justify="left")
    table.add_column("arm", no_wrap=True)
    for column in ("samples", "the judge's mean", "labels", "what people would say"):
        table.add_column(column, justify="right")
    for each in estimates:
        judged, found = each.judged, each.labelled
        by_judge = escape(each.arm), str(judged.submitted), _with_interval(judged.value, judged.low, judged.high)
        if isinstance(found, str):
            table.add_row(*by_judge, "", found)
        else:
            table.add_row(*by_judge, str(found.labels), _with_interval(found.value, found.low, found.high))
    return table


def _with_interval(value: float | None, low: float, high: float) -> str:
    return f"{'?' if value is None else f'{value:.0%}'} ({low:.0%} to {high:.0%})"
