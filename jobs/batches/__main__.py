"""`python -m plait.jobs.batches BATCH_ID APPLICATION`: what the application's job runner submits."""

from plait.command_line import run_one
from plait.jobs.batches.command import answer_batch

if __name__ == "__main__":
    run_one(answer_batch)
