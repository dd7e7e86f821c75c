"""An evaluation as tables for a terminal: figures by metric and arm, what answers cost, and questions side by side."""

from collections.abc import Sequence
from itertools import product

from rich.markup import escape
from rich.table import Table

from plait.evaluation.statistics.figure import Figure
from plait.evaluation.statistics.power import SIGNIFICANCE
from plait.jobs.evaluate.costs import as_money
from plait.jobs.evaluate.report import EvaluationReport, JudgedTrial


def figures_table(report: EvaluationReport) -> Table:
    """Every metric of every arm over all questions, with its 95% interval."""
    table = Table(title=f"Means with 95% intervals; judge: {report.judge or 'none'}", title_justify="left")
    table.add_column("metric", no_wrap=True)
    table.add_column("arm", no_wrap=True)
    for title in ("mean", "samples", "cannot be said"):
        table.add_column(title, justify="right", no_wrap=title != "cannot be said")
    for metric in report.metrics:
        best = report.best(metric) if len(report.arms) > 1 else None
        shown = metric
        for arm in report.arms:
            found = report.figure(metric, arm)
            if found is None:
                continue
            table.add_row(
                shown,
                escape(arm),
                f"{_value(found)} ({found.low:.0%} to {found.high:.0%})",
                str(found.submitted),
                str(found.unsaid or ""),
                style="bold green" if arm == best else None,
            )
            shown = ""
        table.add_section()
    return table


def kinds_table(report: EvaluationReport) -> Table:
    """Every metric of every arm by kind of question."""
    table = Table(title="Means by kind of question", title_justify="left")
    table.add_column("metric", no_wrap=True)
    table.add_column("arm", no_wrap=True)
    for kind in report.kinds:
        table.add_column(escape(kind), justify="right", overflow="fold", min_width=len("100%"))
    for metric in report.metrics:
        shown = metric
        for arm in report.arms:
            if report.figure(metric, arm) is not None:
                kinds = (report.figure(metric, arm, kind) for kind in report.kinds)
                table.add_row(shown, escape(arm), *("" if each is None else _value(each) for each in kinds))
                shown = ""
        table.add_section()
    return table


def costs_table(report: EvaluationReport) -> Table:
    """What an answer of every arm takes: time, tokens and, at given prices, money; and how many questions had none."""
    table = Table(title="An answer takes", title_justify="left")
    table.add_column("arm", no_wrap=True)
    money = ["cost of 1,000"] if report.prices else []
    for title in ("latency, median", "tokens read", "tokens written", *money, "not answered"):
        table.add_column(title, justify="right")
    for each in report.costs:
        cost = "" if each.cost_of_1000 is None else as_money(each.cost_of_1000)
        table.add_row(
            escape(each.arm),
            "" if each.latency_ms is None else f"{each.latency_ms:.0f} ms",
            _count(each.prompt_tokens),
            _count(each.completion_tokens),
            *([cost] if money else []),
            str(each.errors or ""),
        )
    return table


def notes(report: EvaluationReport) -> list[str]:
    """What the tables do not show: metrics that apply to nothing, what failed, and which arm is best, a line each."""
    lines = [
        f"{metric} applies to no sample: they have no {', '.join(needs)}"
        for metric, needs in report.inapplicable.items()
    ]
    if not report.metrics and not lines:
        lines.append("no metric applies: the samples have neither answers nor passages; --metric names others")
    errors = [(judged.trial.arm, judged.trial.error) for judged in report.trials if judged.trial.error]
    for arm in dict.fromkeys(arm for arm, _ in errors):
        lines.append(f"{arm} did not answer, for one: {next(error for of, error in errors if of == arm)}")
    return lines + _of_judge(report) + _of_pairs(report)


def _of_pairs(report: EvaluationReport) -> list[str]:
    """By metric, whom the best arm surely beats; and what the questions can tell by the first, where some are left."""
    lines, unsure = [], []
    for metric in report.metrics:
        surely, others = _behind_the_best(report, metric)
        if surely:
            left = f"; not surely {', '.join(others)}" if others else ""
            lines.append(f"{metric}: {report.best(metric)} beats {', '.join(surely)}{left}")
        elif others:
            unsure.append(metric)
        if others and metric == report.metrics[0] and report.power is not None:
            lines.append(f"{metric}: {report.power}")
    if unsure:
        lines.append(f"{', '.join(unsure)}: the best arm is not surely better than any other")
    return lines


def _behind_the_best(report: EvaluationReport, metric: str) -> tuple[list[str], list[str]]:
    """The arms that the best one is surely better than, each with by how much; and the others."""
    best = report.best(metric)
    surely, others = [], []
    for found in report.comparisons:
        if found.metric != metric or best not in (found.first, found.second) or found.value is None:
            continue
        other, ahead = (found.second, found.value) if best == found.first else (found.first, -found.value)
        # On the questions that both have a score of, the best over all need not be.
        if found.corrected < SIGNIFICANCE and ahead > 0:
            surely.append(f"{other} by {round(100 * ahead)} points (p = {found.corrected:.2g})")
        else:
            others.append(other)
    return surely, others


def _of_judge(report: EvaluationReport) -> list[str]:
    """What the judge is worth, what people say instead, and what judging took."""
    by_sentence: dict[str, list[str]] = {}
    for metric, sentence in report.worth.sentences.items():
        by_sentence.setdefault(sentence, []).append(metric)
    lines = [f"{', '.join(metrics)}: {sentence}" for sentence, metrics in by_sentence.items()]
    for metric, arm in product(report.metrics, report.arms):
        found = report.by_labels(metric, arm)
        if isinstance(found, str):
            lines.append(f"{metric} of {arm} by people: not known, {found}")
        elif found is not None:
            bounds = f"{found.value:.0%} ({found.low:.0%} to {found.high:.0%})"
            lines.append(f"{metric} of {arm} by people: {bounds}, from {found.labels} labels")
    use = report.judge_use
    if use.calls:
        cost = "" if report.judge_cost is None else f", and cost {as_money(report.judge_cost)}"
        tokens = f"{use.prompt_tokens} tokens read, {use.generated_tokens} written"
        lines.append(f"judging took {use.calls} calls, {tokens}{cost}")
    return lines


def answers_table(report: EvaluationReport, numbers: Sequence[int]) -> Table:
    """Some questions with an expected answer and, a row each, what every arm said and what that is worth."""
    table = Table(title="Side by side", title_justify="left")
    table.add_column("question", overflow="fold", ratio=3)
    table.add_column("arm", no_wrap=True)
    table.add_column("answer", overflow="fold", ratio=4)
    table.add_column("from", overflow="fold", ratio=2)
    table.add_column("latency", justify="right", no_wrap=True)
    for number in numbers:
        asked = [judged for judged in report.trials if judged.trial.number == number]
        sample = asked[0].trial.sample
        # rich joins no cells: the question stands in the first of its rows only.
        expected = escape(sample.answers[0]) if sample.answers else "[dim]none[/dim]"
        table.add_row(escape(sample.question), "[dim]expected[/dim]", expected, "", "")
        for judged in asked:
            latency_ms = judged.trial.timings_ms.get("total")
            table.add_row(
                "",
                escape(judged.trial.arm),
                _reply(judged),
                escape(judged.trial.sample.passages[0].source) if judged.trial.sample.passages else "",
                "" if latency_ms is None else f"{latency_ms / 1000:.1f} s",
            )
        table.add_section()
    return table


def _reply(judged: JudgedTrial) -> str:
    if judged.trial.error:
        return f"[red]{escape(judged.trial.error)}[/red]"
    mark = ""
    if "contains" in judged.scores:
        mark = "[green]✓[/green] " if judged.is_right else "[red]✗[/red] "
    text = " ".join(judged.trial.sample.reply.split())
    return mark + escape(text if len(text) <= 100 else text[:99] + "…")


def _value(found: Figure) -> str:
    return "?" if found.value is None else f"{found.value:.0%}"


def _count(mean: float | None) -> str:
    return "" if mean is None else f"{mean:.0f}"
