"""`python -m plait.jobs.compare RECIPE [OVERRIDES…]`: the same as `plait compare`, for `ray job submit`."""

import sys

from plait.cli import main

if __name__ == "__main__":
    main(["compare", *sys.argv[1:]])
