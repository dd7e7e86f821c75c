"""`plait metrics`: what Prometheus and Grafana need."""

from pathlib import Path

import typer

app = typer.Typer(help="Metrics: how Prometheus finds them, alerts, dashboards.", no_args_is_help=True)


@app.command("scrape-config")
def scrape_config(interval_s: int = typer.Option(15, min=1, help="Seconds between two scrapes.")) -> None:
    """Print a Prometheus configuration for this node: Plait's exporter and, on the local head, Ray's own metrics.

    Example: `plait metrics scrape-config > prometheus.yml && prometheus --config.file=prometheus.yml`
    """
    from plait.local.stack import metrics_addresses
    from plait.observability.scrape_config import scrape_config as make

    print(make(metrics_addresses(), interval_s), end="")


_OVERRIDES = typer.Argument(None, help="Objectives and thresholds, as in ttft_s=1 error_objective=0.999.")


@app.command("rules")
def rules(
    overrides: list[str] = _OVERRIDES,
) -> None:
    """Print the alerts, as a rules file for Prometheus.

    Example: `plait metrics rules ttft_s=1 runbooks=https://git.example.org/plait/docs/runbooks > rules.yml`
    """
    from plait.observability.alert_policy import AlertPolicy
    from plait.observability.alerts import rules_file
    from plait.recipes import load_recipe

    print(rules_file(load_recipe(AlertPolicy, None, overrides or [])), end="")


@app.command("kubernetes")
def kubernetes(
    folder: Path = typer.Argument(help="Where the files go: k8s/monitoring, or yours."),
    overrides: list[str] = _OVERRIDES,
) -> None:
    """Write the alerts as a PrometheusRule and the dashboards, for a kustomization to take.

    Example: `plait metrics kubernetes k8s/monitoring ttft_s=1`
    """
    from plait.observability.alert_policy import AlertPolicy
    from plait.observability.monitoring_files import write_kubernetes
    from plait.recipes import load_recipe

    for path in write_kubernetes(folder, load_recipe(AlertPolicy, None, overrides or [])):
        print(path)


@app.command("dashboards")
def dashboards(folder: Path = typer.Argument(help="Where the JSON files go; made when missing.")) -> None:
    """Write the Grafana dashboards: serving by adapter, retrieval by stage, training, ingestion, cost.

    Example: `plait metrics dashboards dashboards/`
    """
    from plait.observability.monitoring_files import write_dashboards

    for path in write_dashboards(folder):
        print(path)


@app.command("local")
def local(
    folder: Path = typer.Argument(help="Where the files go; made when missing."),
    overrides: list[str] = _OVERRIDES,
) -> None:
    """Write all that a Prometheus and a Grafana on this machine need, and how to start them.

    Example: `plait metrics local monitoring ttft_s=1`
    """
    from plait.local.stack import metrics_addresses
    from plait.observability.alert_policy import AlertPolicy
    from plait.observability.monitoring_files import write_local
    from plait.recipes import load_recipe

    write_local(folder, load_recipe(AlertPolicy, None, overrides or []), metrics_addresses())
    print(f"prometheus --config.file={folder}/prometheus.yml --web.listen-address=127.0.0.1:9090")
    print(f"GF_PATHS_PROVISIONING={folder.resolve()}/grafana/provisioning grafana server --homepath=/usr/share/grafana")


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
