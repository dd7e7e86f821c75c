"""`python -m plait.jobs.ingest RECIPE [OVERRIDES…]`: the same as `plait ingest`, for `ray job submit`."""

from plait.command_line import run_one
from plait.jobs.ingest.command import ingest

if __name__ == "__main__":
    run_one(ingest)
