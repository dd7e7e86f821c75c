"""`plait metrics`: what Prometheus needs."""

import typer

app = typer.Typer(help="Metrics: how Prometheus finds them.", no_args_is_help=True)


@app.command("scrape-config")
def scrape_config(interval_s: int = typer.Option(15, min=1, help="Seconds between two scrapes.")) -> None:
    """Print a Prometheus configuration for this node: Plait's exporter and, on the local head, Ray's own metrics.

    Example: `plait metrics scrape-config > prometheus.yml && prometheus --config.file=prometheus.yml`
    """
    from plait.local.stack import metrics_addresses
    from plait.observability.scrape_config import scrape_config as make

    print(make(metrics_addresses(), interval_s), end="")


@app.command("show")
def show() -> None:
    """Print the metrics of this node as they are now.

    Example: `plait metrics show | grep plait_requests`
    """
    import httpx

    from plait.errors import Unavailable
    from plait.local.stack import metrics_addresses
    from plait.observability.scrape_config import reachable

    url = f"http://{reachable(metrics_addresses()['plait'])}/metrics"
    try:
        print(httpx.get(url, timeout=10).raise_for_status().text, end="")
    except httpx.HTTPError as error:
        raise Unavailable(
            f"No exporter answers at {url} ({type(error).__name__}).", "It starts with any job or plait serve."
        ) from None
