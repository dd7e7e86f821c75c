"""What a running server opens, held against the table in docs/security.md."""

import ipaddress
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

from plait.local import stack
from plait.settings import Settings, settings

PAGE = Path(__file__).parents[3] / "docs" / "security.md"
TABLE = "## What listens where"
RAY = "Ray's GCS, raylet, object manager, workers, metrics agent, Serve's replicas"
RAY_AGENTS = "Ray's dashboard agent, runtime environment agent"
_AGENTS = ("ray::DashboardAgent", "ray::RuntimeEnvAgent")


@dataclass(frozen=True)
class Listener:
    """A port that a process of ours listens on; `reach`: loopback, host or all."""

    name: str
    command: str
    reach: str
    port: int


def documented() -> dict[str, set[str]]:
    """Who listens, and how far that may reach, by the page."""
    table = PAGE.read_text(encoding="utf-8").partition(TABLE)[2].partition("\n\n##")[0]
    rows = re.findall(r"^\| ([^|]+) \| ([^|]+) \|", table, re.MULTILINE)[1:]
    marks = {"all interfaces": "all", "host's own address": "host", "127.0.0.1": "loopback", "loopback": "loopback"}
    return {who: {reach for mark, reach in marks.items() if mark in where} for who, where in rows if "---" not in who}


def reach_of(address: str) -> str:
    ip = ipaddress.ip_address(address)
    mapped = getattr(ip, "ipv4_mapped", None)
    ip = mapped or ip
    if ip.is_unspecified:
        return "all"
    return "loopback" if ip.is_loopback else "host"


def listeners() -> Iterator[Listener]:
    for found in stack.running():
        for process in found.family():
            try:
                command = " ".join(process.cmdline())
                for connection in process.net_connections():
                    if connection.status == psutil.CONN_LISTEN:
                        yield Listener(found.name, command, reach_of(connection.laddr.ip), connection.laddr.port)
            except psutil.NoSuchProcess:
                continue


def row_of(listener: Listener) -> str:
    """The line of the table that a listener belongs to."""
    by_port = {
        settings().http_port: "API (Ray Serve)",
        settings().metrics_port: "exporter",
        settings().ray_dashboard_port: "Ray dashboard and Jobs API",
        settings().ray_metrics_port: "Ray's own metrics",
        44217: "metrics of Ray's autoscaler and dashboard",
        44227: "metrics of Ray's autoscaler and dashboard",
    }
    if listener.port in by_port:
        return by_port[listener.port]
    if listener.name == "milvus":
        return "embedded Milvus"
    if listener.name == "ray":
        is_agent = any(agent in listener.command for agent in _AGENTS)
        return RAY_AGENTS if is_agent and listener.reach != "all" else RAY
    return f"no line is for {listener.name}"


def test_what_a_server_opens_is_what_the_page_says(server: str) -> None:
    table = documented()
    found = list(listeners())
    for port in ("http_port", "metrics_port", "ray_dashboard_port", "ray_metrics_port"):
        assert re.search(rf"\b{Settings.model_fields[port].default}\b", PAGE.read_text(encoding="utf-8")), port
    assert {"loopback"} == table["API (Ray Serve)"] == table["exporter"] == table["embedded Milvus"]
    for listener in found:
        assert listener.reach in table.get(row_of(listener), ()), listener
    used = {row_of(listener) for listener in found}
    assert used >= {"API (Ray Serve)", "exporter", "embedded Milvus", "Ray dashboard and Jobs API", RAY}
