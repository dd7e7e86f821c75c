"""`plait serve`: the OpenAI-compatible API, on Ray Serve."""

import typer


def serve(
    config: str = typer.Argument("local", help="A Serve configuration file, or the name of a ready one."),
    overrides: list[str] = typer.Argument(None, help="Application args to set, as in retrieval.collection=docs."),
    detach: bool = typer.Option(False, "--detach", help="Return when it is ready, and leave it running."),
) -> None:
    """Serve the base model, every registered adapter, and answers from an index.

    Runs until Ctrl-C; with `--detach` until `plait stop`.

    Example: `plait serve local retrieval.collection=docs`
    """
    from plait.local.ray_head import connect

    connect()
    from plait.serve.deploy import deploy, read_config

    url = deploy(read_config(config, overrides or []), on_progress=print)
    print(f"ready at {url}/v1  (models: {url}/v1/models, API: {url}/docs)")
    if detach:
        print("it runs until: plait stop")
        return
    _until_interrupted()


def _until_interrupted() -> None:
    """Wait for Ctrl-C, or for the SIGTERM of a service manager, and take the application down."""
    import signal
    import time

    from ray import serve

    from plait.errors import PlaitError
    from plait.serve.deploy import APPLICATION

    for ending in (signal.SIGINT, signal.SIGTERM):
        signal.signal(ending, signal.default_int_handler)
    print("Ctrl-C stops it", flush=True)
    try:
        while APPLICATION in serve.status().applications:
            time.sleep(2)
        raise PlaitError("The application was deleted by someone else.")
    except KeyboardInterrupt:
        print("stopping")
        serve.shutdown()
