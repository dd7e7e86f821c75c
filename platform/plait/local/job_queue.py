"""The process on this machine that sends waiting jobs to their clusters."""

import sys

from plait.local.process import LocalProcess, free_port

NAME = "job-queue"


def ensure_job_queue() -> None:
    """Start it unless it runs."""
    LocalProcess(
        name=NAME,
        make_address=lambda: f"127.0.0.1:{free_port()}",
        command=lambda address: [sys.executable, "-m", "plait.jobs.submission.queue_runner", address],
        is_watched=True,
    ).ensure()
