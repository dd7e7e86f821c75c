"""`plait serve`: the OpenAI-compatible API, on Ray Serve."""

from collections.abc import Sequence
from functools import partial

import typer


def serve(
    config: str = typer.Argument("local", help="A Serve configuration file, or the name of a ready one."),
    overrides: list[str] = typer.Argument(None, help="Application args to set, as in retrieval.collection=docs."),
    detach: bool = typer.Option(False, "--detach", help="Return when it is ready, and leave it running."),
) -> None:
    """Serve the base model, every registered adapter, and answers from an index.

    Runs until Ctrl-C or SIGTERM, which end the answers that are under way first; with `--detach` until `plait stop`.

    Example: `plait serve local retrieval.collection=docs`
    """
    from plait import library_output
    from plait.local.ray_head import connect
    from plait.local.serve_worker import SETUP_HOOK

    library_output.set_aside("serve")
    connect(meanwhile=partial(_check, config, overrides or []), setup_hook=SETUP_HOOK)

    from plait.errors import Interrupted
    from plait.serve.deploy import APPLICATION, deploy, is_served, read_config, take_down

    was_there = is_served(APPLICATION)
    try:
        url = deploy(read_config(config, overrides or []), on_progress=print)
    except KeyboardInterrupt:
        if was_there:
            what = "Serving was interrupted; the application that was there may already be changed."
            raise Interrupted(what, "Run the same command again, or plait stop.") from None
        take_down()
        raise Interrupted("Serving was interrupted before it was ready; it is taken down.") from None
    print(f"ready at {url}/v1  (models: {url}/v1/models, API: {url}/docs)")
    if detach:
        print("it runs until: plait stop")
        return
    _until_interrupted()


def _check(config: str, overrides: Sequence[str]) -> None:
    """Find out whether it can be served. That imports what deploys it and starts Milvus, while Ray starts."""
    from plait.serve.deploy import check_config, read_config

    check_config(read_config(config, overrides))


def _until_interrupted() -> None:
    """Wait until the command is asked to end, and take the application down.

    Raises:
        PlaitError: when somebody else has.
    """
    import time

    from plait.errors import PlaitError
    from plait.serve.deploy import APPLICATION, is_served, shut_down

    print("Ctrl-C stops it", flush=True)
    try:
        while is_served(APPLICATION):
            time.sleep(2)
        raise PlaitError("The application was deleted by someone else.")
    except KeyboardInterrupt:
        print("stopping, after the answers that are under way", flush=True)
        shut_down()
        print("stopped", flush=True)
