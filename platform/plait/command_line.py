"""The edge of every command, where errors are shown.

A PlaitError becomes one sentence and its exit code, anything else is a bug of ours and says so. It knows no command.
"""

import os
import sys
from collections.abc import Callable, Sequence
from typing import Any

import typer

from plait import interruption, library_output

APPLICATION: dict[str, Any] = {
    "add_completion": False,
    "pretty_exceptions_enable": False,
    "rich_markup_mode": "markdown",
    "context_settings": {"help_option_names": ["-h", "--help"]},
}
"""What all of our Typer applications have in common."""


def run_one(command: Callable[..., None]) -> None:
    """Run a module that is one command, with the arguments of this process."""
    app = typer.Typer(**APPLICATION)
    app.command()(command)
    run(app)


def run(app: typer.Typer, arguments: Sequence[str] | None = None) -> None:
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
    from plait.errors import Interrupted, find_plait_error, first_line

    if os.environ.get("PLAIT_DEBUG"):
        import traceback

        traceback.print_exception(error)
    known = find_plait_error(error)
    if known is not None:
        print(f"plait: {known}", file=sys.stderr)
        return interruption.exit_code() if isinstance(known, Interrupted) else known.exit_code
    if interruption.received():  # a library has made an error of its own of the KeyboardInterrupt
        print(f"plait: interrupted ({type(error).__name__}: {first_line(error)})", file=sys.stderr)
        return interruption.exit_code()
    if isinstance(error, OSError) and error.strerror:
        # A full disk, a file that may not be written: the system's own words name it best.
        print(f"plait: {error.strerror}" + (f": {error.filename}" if error.filename else ""), file=sys.stderr)
        return 1
    print(f"plait: unexpected {type(error).__name__}: {error}", file=sys.stderr)
    print("This is a bug in Plait; run again with --debug for the traceback.", file=sys.stderr)
    return 1
