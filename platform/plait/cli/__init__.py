"""The `plait` command. One file a noun; nothing heavy is imported before a command runs.

`main` is the edge where errors are shown: a PlaitError becomes one sentence and its exit code, anything else is a bug
of ours and says so. `--debug` shows the traceback of either.
"""

import os
import sys
from collections.abc import Sequence

import typer

from plait import interruption, library_output
from plait.cli import (
    adapters,
    ask,
    collections,
    compare,
    evaluate,
    ingest,
    jobs,
    keys,
    local,
    metrics,
    plan,
    serve,
    train,
)
from plait.cli.overview import Overview

app = typer.Typer(
    name="plait",
    cls=Overview,
    help="Give a model your knowledge by fine-tuning, by retrieval, or both, on one Ray cluster; measure which wins.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback()
def options(
    debug: bool = typer.Option(False, "--debug", help="Show the traceback of an error.", envvar="PLAIT_DEBUG"),
) -> None:
    if debug:
        os.environ["PLAIT_DEBUG"] = "1"


app.command("ingest")(ingest.ingest)
app.command("plan")(plan.plan)
app.command("train")(train.train)
app.command("serve")(serve.serve)
app.command("ask", cls=ask.AskCommand)(ask.ask)
app.command("evaluate")(evaluate.evaluate)
app.command("compare")(compare.compare)
app.add_typer(jobs.app, name="jobs")
app.add_typer(collections.app, name="collections")
app.add_typer(adapters.app, name="adapters")
app.add_typer(keys.app, name="keys")
app.add_typer(metrics.app, name="metrics")
app.command("status")(local.status)
app.command("stop")(local.stop)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command line and turn what went wrong into a sentence and an exit code."""
    with interruption.handled():
        try:
            with library_output.restored():
                app(arguments)
        except (KeyboardInterrupt, SystemExit) as ended:
            # Typer makes an exit with 130 of a KeyboardInterrupt.
            if interruption.received() is None or getattr(ended, "code", 130) != 130:
                raise
            _tell_of_log(interruption.exit_code())
            print("plait: interrupted", file=sys.stderr)
            sys.exit(interruption.exit_code())
        except Exception as error:
            code = report(error)
            _tell_of_log(code)
            sys.exit(code)


def _tell_of_log(code: int) -> None:
    """Name what libraries said, where that may help: not for what the user gave or interrupted."""
    log = library_output.left()
    if log is not None and code == 1:
        print(f"What libraries said meanwhile: {log}", file=sys.stderr)
    elif log is not None:
        log.unlink(missing_ok=True)


def report(error: Exception) -> int:
    """Print an error as the user should see it; returns the exit code."""
    from plait.errors import Interrupted, find_plait_error

    if os.environ.get("PLAIT_DEBUG"):
        import traceback

        traceback.print_exception(error)
    known = find_plait_error(error)
    if known is not None:
        print(f"plait: {known}", file=sys.stderr)
        return interruption.exit_code() if isinstance(known, Interrupted) else known.exit_code
    if interruption.received():  # a library has made an error of its own of the KeyboardInterrupt
        print(f"plait: interrupted ({type(error).__name__}: {' '.join(str(error).split())})", file=sys.stderr)
        return interruption.exit_code()
    if isinstance(error, OSError) and error.strerror:
        # A full disk, a file that may not be written: the system's own words name it best.
        print(f"plait: {error.strerror}" + (f": {error.filename}" if error.filename else ""), file=sys.stderr)
        return 1
    print(f"plait: unexpected {type(error).__name__}: {error}", file=sys.stderr)
    print("This is a bug in Plait; run again with --debug for the traceback.", file=sys.stderr)
    return 1
