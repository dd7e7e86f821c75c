"""An evaluation as tables for a terminal: accuracy by model and kind, and questions with their answers side by side."""

from collections.abc import Sequence

from rich.markup import escape
from rich.table import Table

from plait.evaluation.intervals import Proportion
from plait.jobs.evaluate.report import EvaluationReport, Judged


def accuracy_table(report: EvaluationReport) -> Table:
    """Accuracy of every model with its 95% interval, by kind of question and over all."""
    table = Table(title=f"Accuracy over {len(report.questions)} questions (95% interval)", title_justify="left")
    table.add_column("model", no_wrap=True)
    kinds = [kind for kind in report.kinds if kind]
    for kind in kinds:
        table.add_column(kind, justify="right")
    table.add_column("all", justify="right", no_wrap=True)
    table.add_column("latency, median", justify="right")
    best = report.best()
    for model in report.models:
        style = "bold green" if model == best else None
        table.add_row(
            model,
            *(_share(report.accuracy(model, kind)) for kind in kinds),
            _with_interval(report.accuracy(model)),
            f"{report.median_latency_ms(model):.0f} ms",
            style=style,
        )
    return table


def comparison(report: EvaluationReport) -> str:
    """Whether the best model's lead over each other one is more than chance, a line each (exact McNemar test)."""
    best = report.best()
    lines = []
    for model in report.models:
        if model != best:
            p_value = report.p_value(best, model)
            verdict = "is better than" if p_value < 0.05 else "is not surely better than"
            lines.append(f"{best} {verdict} {model} (p = {p_value:.2g}, paired)")
    return "\n".join(lines)


def answers_table(report: EvaluationReport, rows: Sequence[int]) -> Table:
    """Some questions with the expected answer and, a row each, what every model said, right or wrong."""
    table = Table(title="Side by side", title_justify="left")
    table.add_column("question", overflow="fold", ratio=3)
    table.add_column("model", no_wrap=True)
    table.add_column("answer", overflow="fold", ratio=4)
    table.add_column("cited", overflow="fold", ratio=2)
    table.add_column("latency", justify="right", no_wrap=True)
    for row in rows:
        question = report.questions[row]
        # rich joins no cells: the question stands in the first of its rows only.
        table.add_row(escape(question.question), "[dim]expected[/dim]", escape(question.answer), "", "")
        for model in report.models:
            answer = report.answers[model][row]
            table.add_row("", model, _reply(answer), escape(answer.cited or ""), f"{answer.latency_ms / 1000:.1f} s")
        table.add_section()
    return table


def _reply(answer: Judged) -> str:
    mark = "[green]✓[/green]" if answer.is_correct else "[red]✗[/red]"
    text = " ".join(answer.reply.split())
    return f"{mark} {escape(text if len(text) <= 100 else text[:99] + '…')}"


def _share(proportion: Proportion) -> str:
    return f"{proportion.value:.0%}"


def _with_interval(proportion: Proportion) -> str:
    return f"{proportion.value:.0%} ({proportion.low:.0%} to {proportion.high:.0%})"
