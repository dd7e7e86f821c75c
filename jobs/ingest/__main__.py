"""`python -m plait.jobs.ingest RECIPE [OVERRIDES…]`: the same as `plait ingest`, for `ray job submit`."""

import sys

from plait.cli import app, report

if __name__ == "__main__":
    try:
        app(["ingest", *sys.argv[1:]])
    except Exception as error:
        sys.exit(report(error))
