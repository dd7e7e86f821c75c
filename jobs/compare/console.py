"""A verdict for a terminal: what is right by arm and kind of question, what that costs, and what it comes to."""

from collections.abc import Iterator

from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from plait.evaluation.statistics.figure import Figure
from plait.jobs.compare.sentences import as_time
from plait.jobs.compare.verdict import Verdict
from plait.jobs.evaluate.costs import as_money

_LONG_NAME = len("rag/knowledge")
"""Letters that the name of an arm has room for on a terminal of eighty columns; longer ones are folded."""


def shown(verdict: Verdict) -> Group:
    """The whole verdict: the tables, then the sentences."""
    return Group(accuracy_table(verdict), costs_table(verdict), *_texts(verdict))


def accuracy_table(verdict: Verdict) -> Table:
    """What share of every kind of question each arm is right on; green: no other arm is surely better."""
    title = "Right, of 100, with 95% intervals; green: may be the best"
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column("arm", min_width=_LONG_NAME)
    for kind in verdict.kinds:
        table.add_column(f"{escape(kind.kind)}\n{kind.questions}", justify="right")
    table.add_column(f"all alike\n{verdict.overall.questions}", justify="right")
    for arm in verdict.arms:
        figures = [(arm.by_kind.get(kind.kind), arm.arm in kind.best) for kind in verdict.kinds]
        # An arm that was not asked all kinds has no figure over all that others could be compared with.
        is_whole = all(found is not None for found, _ in figures)
        over_all = (arm.accuracy if is_whole else None, arm.arm in verdict.overall.best)
        table.add_row(escape(arm.arm), *(_figure(found, is_best) for found, is_best in (*figures, over_all)))
    return table


def costs_table(verdict: Verdict) -> Table:
    """What an answer of every arm takes, and what it takes before the first."""
    title = "What it takes; bold: no other is both better and cheaper"
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column("arm", min_width=_LONG_NAME)
    has_prices = any(arm.cost_of_1000 is not None for arm in verdict.arms)
    has_hours = any(arm.fixed_cost for arm in verdict.arms)
    money = ["cost of 1,000"] if has_prices else []
    hours = ["cost before the first"] if has_hours else []
    for title in ("latency, median", "tokens read", "tokens written", *money, "training and indexing", *hours):
        table.add_column(title, justify="right")
    for arm in verdict.arms:
        table.add_row(
            escape(arm.arm),
            "" if arm.latency_ms is None else f"{arm.latency_ms:.0f} ms",
            "" if arm.prompt_tokens is None else f"{arm.prompt_tokens:.0f}",
            "" if arm.completion_tokens is None else f"{arm.completion_tokens:.0f}",
            *([_money(arm.cost_of_1000)] if has_prices else []),
            "" if not arm.fixed_seconds else as_time(arm.fixed_seconds),
            *([_money(arm.fixed_cost)] if has_hours else []),
            style="bold" if arm.arm in verdict.front else None,
        )
    return table


def _texts(verdict: Verdict) -> Iterator[RenderableType]:
    for each in verdict.break_even:
        yield Text(f"{each.dearer_before} is cheaper than {each.cheaper_before} from {each.answers:,} answers on")
    yield Text(f"\n{' '.join(verdict.sentences)}\n", style="bold")
    for title, sentences in (("Not told", verdict.untold), ("Keep in mind", verdict.caveats)):
        if sentences:
            yield Text(f"{title}:")
            yield from (Text(f"- {sentence}") for sentence in sentences)


def _figure(found: Figure | None, is_best: bool) -> Text:
    if found is None:
        return Text("")
    value = "?" if found.value is None else f"{100 * found.value:.0f}"
    return Text(f"{value}\n{100 * found.low:.0f}\u2013{100 * found.high:.0f}", style="green" if is_best else "")


def _money(amount: float | None) -> str:
    return "" if amount is None else as_money(amount)
