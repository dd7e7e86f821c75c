"""Dashboards as Grafana stores them (JSON, schema 39: Grafana 10.1 and later), and how Grafana finds them in a folder.

In: titles, units and queries. Out: JSON and provisioning YAML. It knows no metric.
"""

import json
from dataclasses import dataclass
from typing import Any

import yaml

_SCHEMA = 39
_COLUMNS, _WIDTH, _HEIGHT = 3, 8, 8
"""Panels a row, and their size on Grafana's grid, which is 24 wide."""
_SOURCE = {"type": "prometheus", "uid": "${datasource}"}


@dataclass(frozen=True)
class Query:
    """PromQL, and the name of each line: `{{label}}` stands for a label's value."""

    expr: str
    legend: str


@dataclass(frozen=True)
class Panel:
    """Lines over time. `unit`: one of Grafana's ids, as s, percentunit, reqps."""

    title: str
    description: str
    unit: str
    queries: tuple[Query, ...]


@dataclass(frozen=True)
class Dashboard:
    """A page of panels. `uid` is its name in addresses, and its file's."""

    uid: str
    title: str
    panels: tuple[Panel, ...]


def dashboard_json(dashboard: Dashboard) -> str:
    """What Grafana imports, or reads from a folder."""
    content = {
        "uid": dashboard.uid,
        "title": dashboard.title,
        "tags": ["plait"],
        "schemaVersion": _SCHEMA,
        "editable": True,
        "graphTooltip": 1,
        "refresh": "30s",
        "time": {"from": "now-1h", "to": "now"},
        "templating": {"list": _variables()},
        "annotations": {"list": [_alerts()]},
        "panels": [_panel(number, panel) for number, panel in enumerate(dashboard.panels)],
    }
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"


def _variables() -> list[dict[str, Any]]:
    return [
        {"name": "datasource", "label": "Prometheus", "type": "datasource", "query": "prometheus", "refresh": 1},
        {
            "name": "namespace",
            "label": "Namespace",
            "type": "query",
            "datasource": _SOURCE,
            "query": {"query": 'label_values(up{job="plait"}, namespace)', "refId": "namespace"},
            "refresh": 2,
            "multi": True,
            "includeAll": True,
            "allValue": ".*",
            "current": {"text": "All", "value": "$__all"},
        },
    ]


def _alerts() -> dict[str, Any]:
    """Firing alerts, shown on every panel."""
    return {
        "name": "Alerts",
        "datasource": _SOURCE,
        "enable": True,
        "iconColor": "red",
        "expr": 'ALERTS{alertname=~"Plait.*", alertstate="firing"}',
        "titleFormat": "{{alertname}}",
    }


def _panel(number: int, panel: Panel) -> dict[str, Any]:
    row, column = divmod(number, _COLUMNS)
    return {
        "id": number + 1,
        "type": "timeseries",
        "title": panel.title,
        "description": panel.description,
        "datasource": _SOURCE,
        "gridPos": {"x": column * _WIDTH, "y": row * _HEIGHT, "w": _WIDTH, "h": _HEIGHT},
        "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0}, "overrides": []},
        "options": {"legend": {"displayMode": "list", "placement": "bottom"}, "tooltip": {"mode": "multi"}},
        "targets": [
            {"refId": chr(ord("A") + i), "datasource": _SOURCE, "expr": query.expr, "legendFormat": query.legend}
            for i, query in enumerate(panel.queries)
        ],
    }


def provisioned_datasource(url: str) -> str:
    """YAML for Grafana's provisioning/datasources."""
    source = {"name": "Prometheus", "type": "prometheus", "access": "proxy", "url": url, "isDefault": True}
    return yaml.safe_dump({"apiVersion": 1, "datasources": [source]}, sort_keys=False)


def provisioned_dashboards(folder: str) -> str:
    """YAML for Grafana's provisioning/dashboards: every dashboard in a folder."""
    provider = {"name": "plait", "folder": "Plait", "type": "file", "options": {"path": folder}}
    return yaml.safe_dump({"apiVersion": 1, "providers": [provider]}, sort_keys=False)
