"""Files for a Prometheus and a Grafana on this machine, and the generated ones of k8s/monitoring.

In: a folder, a policy, and where the metrics are. Out: files, all of them written anew.
"""

from collections.abc import Mapping
from pathlib import Path

from plait.observability.alert_policy import AlertPolicy
from plait.observability.alerts import prometheus_rule, rules_file
from plait.observability.dashboards import dashboards
from plait.observability.grafana import dashboard_json, provisioned_dashboards, provisioned_datasource
from plait.observability.scrape_config import scrape_config

LOCAL_PROMETHEUS = "http://127.0.0.1:9090"


def write_dashboards(folder: Path) -> list[Path]:
    """One JSON file a dashboard."""
    return _write(folder, {f"{one.uid}.json": dashboard_json(one) for one in dashboards()})


def write_local(folder: Path, policy: AlertPolicy, targets: Mapping[str, str]) -> list[Path]:
    """prometheus.yml with its rules, and grafana/ with a data source and the dashboards."""
    shown = folder / "grafana/dashboards"
    files = {
        "prometheus.yml": scrape_config(targets, rule_files=["rules.yml"]),
        "rules.yml": rules_file(policy),
        "grafana/provisioning/datasources/plait.yml": provisioned_datasource(LOCAL_PROMETHEUS),
        "grafana/provisioning/dashboards/plait.yml": provisioned_dashboards(str(shown.resolve())),
    }
    return [*_write(folder, files), *write_dashboards(shown)]


def write_kubernetes(folder: Path, policy: AlertPolicy) -> list[Path]:
    """What the Component in k8s/monitoring takes from here."""
    return [*_write(folder, {"prometheusrule.yaml": prometheus_rule(policy)}), *write_dashboards(folder / "dashboards")]


def _write(folder: Path, files: Mapping[str, str]) -> list[Path]:
    paths = []
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        paths.append(path)
    return paths
