"""`python -m plait.jobs.ingest RECIPE [OVERRIDES…]`: the same as `plait ingest`, for `ray job submit`."""

import sys

from plait.cli import main

if __name__ == "__main__":
    main(["ingest", *sys.argv[1:]])
