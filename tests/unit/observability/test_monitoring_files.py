"""Dashboards and rules ask only for what the code exports, and k8s/monitoring holds what the code makes."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import prometheus_client
import promql_parser
import pytest
import yaml
from typer.testing import CliRunner

from plait.cli import app
from plait.observability import metrics
from plait.observability.alert_policy import AlertPolicy
from plait.observability.alerts import rule_groups
from plait.observability.dashboards import WINDOW, dashboards
from plait.observability.grafana import dashboard_json
from plait.observability.monitoring_files import write_kubernetes

KUBERNETES = Path(__file__).parents[3] / "k8s/monitoring"
# What the scrape adds: prometheus-operator the namespace and the pod, Prometheus the others.
SCRAPED = {"namespace", "pod", "job", "instance"}
# Grafana's, as far as the panels use them: https://github.com/grafana/grafana/tree/main/packages/grafana-data
UNITS = {"short", "s", "percentunit", "reqps", "ops", "cps"}
RULES = [rule for group in rule_groups(AlertPolicy())["groups"] for rule in group["rules"]]


def exported() -> dict[str, set[str]]:
    """Labels by name of every series that the code exports."""
    found: dict[str, set[str]] = {}
    for metric in vars(metrics).values():
        if isinstance(metric, prometheus_client.Counter):
            found[f"{metric._name}_total"] = set(metric._labelnames)
        elif isinstance(metric, prometheus_client.Histogram):
            found[f"{metric._name}_bucket"] = {*metric._labelnames, "le"}
            found |= {f"{metric._name}_{part}": set(metric._labelnames) for part in ("count", "sum")}
        elif isinstance(metric, prometheus_client.Gauge):
            found[metric._name] = set(metric._labelnames)
    return found


def selectors(expr: str) -> Iterator[promql_parser.VectorSelector]:
    """Every series that a query asks for."""
    found: list[promql_parser.VectorSelector] = []

    def look(node: Any) -> bool:
        if isinstance(node, promql_parser.VectorSelector):
            found.append(node)
        return True

    promql_parser.walk(promql_parser.parse(expr.replace(WINDOW, "5m")), look)
    yield from found


def targets() -> Iterator[tuple[str, str]]:
    for dashboard in dashboards():
        for panel in json.loads(dashboard_json(dashboard))["panels"]:
            yield from ((f"{dashboard.uid}: {panel['title']}", target["expr"]) for target in panel["targets"])


def queries() -> list[tuple[str, str]]:
    return [*targets(), *((rule.get("alert") or rule["record"], rule["expr"]) for rule in RULES)]


@pytest.mark.parametrize(("where", "expr"), queries())
def test_a_query_asks_only_for_what_is_exported(where: str, expr: str) -> None:
    known = exported() | {"up": set()} | {rule["record"]: {"adapter"} for rule in RULES if "record" in rule}
    asked = list(selectors(expr))
    assert asked
    for selector in asked:
        assert selector.name in known, where
        assert {matcher.name for matcher in selector.matchers.matchers} <= known[selector.name] | SCRAPED, where


def test_every_metric_is_on_a_panel() -> None:
    shown = {selector.name for _, expr in targets() for selector in selectors(expr)}
    defined = {
        metric
        for metric in vars(metrics).values()
        if isinstance(metric, prometheus_client.Counter | prometheus_client.Gauge | prometheus_client.Histogram)
    }
    assert [metric._name for metric in defined if not any(name.startswith(metric._name) for name in shown)] == []


def test_dashboards_can_be_told_apart_and_panels_read() -> None:
    loaded = [json.loads(dashboard_json(dashboard)) for dashboard in dashboards()]
    assert len({one["uid"] for one in loaded}) == len({one["title"] for one in loaded}) == len(loaded) == 7
    for one in loaded:
        panels = one["panels"]
        assert len({panel["id"] for panel in panels}) == len({panel["title"] for panel in panels}) == len(panels)
        places = {(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in panels}
        assert len(places) == len(panels)
        for panel in panels:
            assert panel["description"]
            assert panel["fieldConfig"]["defaults"]["unit"] in UNITS
            assert len({target["refId"] for target in panel["targets"]}) == len(panel["targets"])


def test_kubernetes_has_what_the_code_makes(tmp_path: Path) -> None:
    made = {path.relative_to(tmp_path): path.read_text() for path in write_kubernetes(tmp_path, AlertPolicy())}
    for path, text in made.items():
        assert (KUBERNETES / path).read_text(encoding="utf-8") == text, "run: make monitoring"
    component = yaml.safe_load((KUBERNETES / "kustomization.yaml").read_text(encoding="utf-8"))
    (shown,) = component["configMapGenerator"]
    assert {Path(file) for file in shown["files"]} | {Path("prometheusrule.yaml")} == set(made)
    assert {file.name for file in (KUBERNETES / "dashboards").iterdir()} == {Path(f).name for f in shown["files"]}
    others = {file.name for file in KUBERNETES.glob("*.yaml")} - {"kustomization.yaml"}
    assert set(component["resources"]) == others


def test_jobs_are_named_on_a_cluster_as_on_a_laptop() -> None:
    monitor = yaml.safe_load((KUBERNETES / "podmonitor.yaml").read_text(encoding="utf-8"))
    jobs = {
        end["port"]: next(r["replacement"] for r in end["relabelings"] if r["targetLabel"] == "job")
        for end in monitor["spec"]["podMetricsEndpoints"]
    }
    printed = CliRunner().invoke(app, ["metrics", "scrape-config"]).stdout
    assert set(jobs.values()) == {job["job_name"] for job in yaml.safe_load(printed)["scrape_configs"]}
    assert jobs["plait-metrics"] == "plait"


def test_local_files_belong_together(tmp_path: Path) -> None:
    ran = CliRunner().invoke(app, ["metrics", "local", str(tmp_path), "ttft_s=1"])
    assert ran.exit_code == 0
    assert str(tmp_path / "prometheus.yml") in ran.stdout
    config = yaml.safe_load((tmp_path / "prometheus.yml").read_text())
    (rules,) = config["rule_files"]
    assert 'le="1.0"' in (tmp_path / rules).read_text()
    provided = yaml.safe_load((tmp_path / "grafana/provisioning/dashboards/plait.yml").read_text())
    folder = Path(provided["providers"][0]["options"]["path"])
    assert {file.stem for file in folder.iterdir()} == {dashboard.uid for dashboard in dashboards()}
