"""`python -m plait.jobs.evaluate DATA MODELS…`: the same as `plait evaluate`, for `ray job submit`."""

from plait.command_line import run_one
from plait.jobs.evaluate.command import evaluate

if __name__ == "__main__":
    run_one(evaluate)
