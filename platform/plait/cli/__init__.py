"""The `plait` command. One file a noun; nothing heavy is imported before a command runs.

Those that a cluster runs stand with what they run, also without it: `python -m plait.jobs.train`. `--debug` shows the
traceback of an error.
"""

import os
from collections.abc import Sequence

import typer

from plait.cli import (
    adapters,
    ask,
    collections,
    data,
    evaluate,
    jobs,
    keys,
    lineage,
    local,
    metrics,
    plan,
    promote,
    route,
    serve,
)
from plait.cli.overview import Overview
from plait.command_line import APPLICATION, run
from plait.flows.compare.command import compare
from plait.jobs.evaluate.command import evaluate as evaluate_models
from plait.jobs.ingest.command import ingest
from plait.jobs.train.command import train

app = typer.Typer(
    name="plait",
    cls=Overview,
    help="Give a model your knowledge by fine-tuning, by retrieval, or both, on one Ray cluster; measure which wins.",
    no_args_is_help=True,
    **APPLICATION,
)


@app.callback()
def options(
    debug: bool = typer.Option(False, "--debug", help="Show the traceback of an error.", envvar="PLAIT_DEBUG"),
) -> None:
    if debug:
        os.environ["PLAIT_DEBUG"] = "1"


app.command("ingest")(ingest)
app.command("plan")(plan.plan)
app.command("train")(train)
app.command("serve")(serve.serve)
app.command("ask", cls=ask.AskCommand)(ask.ask)
app.command("evaluate", cls=evaluate.EvaluateCommand)(evaluate_models)
app.command("compare")(compare)
app.command("promote")(promote.promote)
app.command("rollback")(promote.rollback)
app.add_typer(jobs.app, name="jobs")
app.add_typer(collections.app, name="collections")
app.add_typer(data.app, name="data")
app.add_typer(adapters.app, name="adapters")
app.command("lineage")(lineage.lineage)
app.add_typer(route.app, name="route")
app.add_typer(keys.app, name="keys")
app.add_typer(metrics.app, name="metrics")
app.command("status")(local.status)
app.command("stop")(local.stop)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command line; a process of the `plait` command begins here."""
    run(app, arguments)
