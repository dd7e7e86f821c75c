"""`python -m plait.jobs.train RECIPE [OVERRIDES…]`: the same as `plait train`, for `ray job submit`."""

from plait.command_line import run_one
from plait.jobs.train.command import train

if __name__ == "__main__":
    run_one(train)
