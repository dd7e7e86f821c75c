"""`python -m plait.jobs.train RECIPE [OVERRIDES…]`: the same as `plait train`, for `ray job submit`."""

import sys

from plait.cli import app, report

if __name__ == "__main__":
    try:
        app(["train", *sys.argv[1:]])
    except Exception as error:
        sys.exit(report(error))
