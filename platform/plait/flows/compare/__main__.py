"""`python -m plait.flows.compare RECIPE [OVERRIDES…]`: the same as `plait compare`, for `ray job submit`."""

from plait.command_line import run_one
from plait.flows.compare.command import compare

if __name__ == "__main__":
    run_one(compare)
