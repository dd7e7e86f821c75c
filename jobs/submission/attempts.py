"""`python -m plait.jobs.submission.attempts RETRIES MODULE …`: a job that is started again when it fails.

It runs on the cluster as the entrypoint, so it does not matter whether the machine that submitted the job is still
there. Training goes on from its last checkpoint, ingestion with what is missing: they need no word of the attempt
before. What cannot get better (a wrong recipe, a stop) is not tried again.
"""

import subprocess
import sys
import time
from collections.abc import Callable, Sequence

from plait import interruption

_FIRST_PAUSE_S = 5.0
_LONGEST_PAUSE_S = 300.0
_FINAL = (0, 2, 130, 143)
"""Exit codes that another attempt would not change: done, wrong input, interrupted, terminated."""


def run_with_retries(
    run: Callable[[], int], retries: int, pause: Callable[[float], None], tell: Callable[[str], None]
) -> int:
    """Call `run` until it ends well or the retries are used up; returns the last exit code.

    Pauses between attempts double from 5 s to at most 300 s.
    """
    for attempt in range(retries + 1):
        code = run()
        if code in _FINAL or attempt == retries:
            return code
        wait_s = min(_FIRST_PAUSE_S * 2**attempt, _LONGEST_PAUSE_S)
        how = f"was killed by signal {-code}" if code < 0 else f"ended with {code}"
        tell(f"attempt {attempt + 1} {how}; retry {attempt + 1} of {retries} in {wait_s:.0f} s")
        pause(wait_s)
    raise AssertionError("the last attempt returns")


def main(arguments: Sequence[str]) -> int:
    """Run a module with its arguments so many times."""
    retries, *module = arguments
    command = [sys.executable, "-m", *module]
    with interruption.handled():
        try:
            return run_with_retries(
                lambda: run_driver(command), int(retries), time.sleep, lambda line: print(line, flush=True)
            )
        except KeyboardInterrupt:  # between two attempts
            return interruption.exit_code()


def run_driver(command: Sequence[str]) -> int:
    """Run a command to its end; returns its exit code, or that of an interruption where the stop made it fail."""
    # The driver gets the signal too, and saves what it has. An exception here could come between the call that reaps
    # it and the note of its exit code, of which Python would then make a 0.
    with interruption.on_interrupt(lambda: None), subprocess.Popen(command) as driver:
        code = driver.wait()
    # A driver that still imports has no handler: the signal itself ends it.
    return interruption.exit_code() if code and interruption.received() else code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
