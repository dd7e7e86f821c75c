"""More than one machine: what is refused before it starts, and where workers meet."""

import sys
from types import SimpleNamespace

import pytest

from plait.errors import InvalidInput
from plait.jobs.train.rendezvous import interface_of
from plait.local.machines import check_all_reach_milvus
from plait.settings import Settings, settings


def joined(monkeypatch: pytest.MonkeyPatch, *addresses: str) -> None:
    """This process has joined a cluster with living nodes at these addresses, and a dead one."""
    nodes = [{"NodeManagerAddress": address, "Alive": True} for address in addresses]
    dead = {"NodeManagerAddress": "10.0.0.9", "Alive": False}
    monkeypatch.setitem(sys.modules, "ray", SimpleNamespace(nodes=lambda: [*nodes, dead]))


def test_an_embedded_milvus_is_refused_where_another_machine_could_not_reach_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    joined(monkeypatch, "10.0.0.1", "10.0.0.2")
    with pytest.raises(InvalidInput, match=r"2 machines.*embedded Milvus.*PLAIT_MILVUS_URI"):
        check_all_reach_milvus()
    joined(monkeypatch, "10.0.0.1", "10.0.0.1")
    check_all_reach_milvus()


def test_a_milvus_server_is_taken_to_be_reached_by_all(monkeypatch: pytest.MonkeyPatch) -> None:
    joined(monkeypatch, "10.0.0.1", "10.0.0.2")
    monkeypatch.setattr("plait.local.machines.settings", lambda: Settings(milvus_uri="http://10.0.0.3:19530"))
    check_all_reach_milvus()


def test_an_address_leads_to_its_interface() -> None:
    loopback = interface_of("127.0.0.1")
    assert loopback is not None
    assert loopback.startswith("lo")
    assert interface_of("192.0.2.1") is None


def test_machines_that_share_a_home_write_their_metrics_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("plait.settings.gethostname", lambda: "one")
    first = settings().metrics_dir
    monkeypatch.setattr("plait.settings.gethostname", lambda: "two")
    assert settings().metrics_dir != first
    assert settings().metrics_dir.parent == first.parent
