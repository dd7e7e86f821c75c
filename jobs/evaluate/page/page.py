"""An evaluation as one HTML file: it loads nothing, runs nothing, reads on a phone and prints.

In: a report. Out: the page. Plots are SVG that the templates write: bars and dots in the page's own style, of a few
hundred bytes, whose words are escaped like all others. It computes no figure.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from statistics import fmean

from plait.evaluation.calibration.calibration import USELESS
from plait.evaluation.metrics.metric import meaning
from plait.evaluation.runs.run import Manifest
from plait.evaluation.statistics.figure import Figure
from plait.jobs.evaluate.page.environment import page_environment
from plait.jobs.evaluate.page.plots import distribution, reliability
from plait.jobs.evaluate.page.worst import worst_samples
from plait.jobs.evaluate.report import EvaluationReport
from plait.jobs.evaluate.tables import notes

_GROUPS_SHOWN = 10
_ASKS_SHOWN = ("data", "samples", "max_tokens", "temperature", "seed")
"""What the page says of a run's manifest; the server's address is nothing to hand on."""


@dataclass(frozen=True)
class Part:
    """The figures of a kind or a group by one metric, one for each arm; None: the metric applies to none of it."""

    name: str
    figures: Sequence[Figure | None]


def render(report: EvaluationReport) -> str:
    """The page. Whatever documents, models and judges say is shown as text, never as HTML."""
    manifest = Manifest.read(report.folder) if report.folder is not None else None
    asks = manifest.asks if manifest is not None else {}
    return (
        page_environment()
        .get_template("page.html")
        .render(
            title=report.folder.name if report.folder is not None else "samples",
            asks={name: asks[name] for name in _ASKS_SHOWN if asks.get(name) is not None},
            made=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
            report=report,
            questions=len({judged.trial.question_key for judged in report.trials}),
            notes=notes(report),
            useless=USELESS,
            meanings={metric: meaning(metric) for metric in report.metrics},
            kinds={metric: _kinds(report, metric) for metric in report.metrics},
            groups={metric: _worst_groups(report, metric) for metric in report.metrics},
            distributions={
                metric: {arm: found for arm in report.arms if (found := distribution(report, metric, arm)) is not None}
                for metric in report.metrics
            },
            reliabilities={
                metric: points for metric in report.metrics if (points := reliability(report, metric)) is not None
            },
            worst=worst_samples(report),
        )
    )


def _kinds(report: EvaluationReport, metric: str) -> list[Part]:
    parts = [Part(kind, [report.figure(metric, arm, kind) for arm in report.arms]) for kind in report.kinds]
    return [part for part in parts if any(part.figures)]


def _worst_groups(report: EvaluationReport, metric: str) -> list[Part]:
    """The groups of the lowest scores, of several that have a name; what cannot be said counts as 0 in this order."""
    values: dict[str, list[float]] = {}
    for judged in (judged for arm in report.arms for judged in report.measured(metric, arm)):
        if judged.trial.sample.group:
            values.setdefault(judged.trial.sample.group, []).append(judged.scores[metric].value or 0.0)
    if len(values) < 2:
        return []
    worst = sorted(values, key=lambda group: fmean(values[group]))[:_GROUPS_SHOWN]
    return [Part(group, [report.figure(metric, arm, group=group) for arm in report.arms]) for group in worst]
