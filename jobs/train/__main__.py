"""`python -m plait.jobs.train RECIPE [OVERRIDES…]`: the same as `plait train`, for `ray job submit`."""

import sys

from plait.cli import main

if __name__ == "__main__":
    main(["train", *sys.argv[1:]])
