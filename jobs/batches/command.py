"""The command of a batch, as the application's job runner submits it."""

import typer


def answer_batch(
    batch_id: str = typer.Argument(help="The id of the batch."),
    application: str = typer.Argument(help="The name of the application that answers."),
    at_once: int = typer.Option(4, min=1, help="Requests that are under way at a time."),
) -> None:
    """Answer what lacks an answer of a batch; killed and run again it goes on."""
    from plait.interruption import explained
    from plait.jobs.batches.job import run

    with explained("The batch was interrupted; its answers so far are kept.", "Run the same command again."):
        count = run(batch_id, application, at_once)
    print(f"{count} requests of {batch_id} were answered")
