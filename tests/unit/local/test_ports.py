"""Ports that somebody configured stay free of Ray's workers and of what we choose by chance."""

import pytest
from changed_settings import changed_settings

from plait.errors import InvalidInput
from plait.local import process
from plait.local.process import free_port
from plait.local.ray_head import check_ports_differ, worker_ports
from plait.settings import settings


def test_workers_have_rays_own_range_when_nothing_in_it_is_configured() -> None:
    assert worker_ports([8000, 8265, 9464, 9465, 10_001, 20_000]) == (10_002, 19_999)


@pytest.mark.parametrize(
    ("configured", "ports"),
    [
        ([12_000], (12_001, 19_999)),
        ([19_530], (10_002, 19_529)),
        ([10_002], (10_003, 19_999)),
        ([19_999], (10_002, 19_998)),
        ([11_000, 15_000, 15_001, 19_000], (11_001, 14_999)),
    ],
)
def test_workers_have_the_largest_part_of_it_that_is_not(configured: list[int], ports: tuple[int, int]) -> None:
    assert worker_ports(configured) == ports


def test_every_port_that_can_be_set_counts() -> None:
    with changed_settings(http_port=11_000, milvus_uri="http://127.0.0.1:19530"):
        assert settings().ports["PLAIT_HTTP_PORT"] == 11_000
        assert settings().ports["PLAIT_MILVUS_URI"] == 19_530
        assert worker_ports(settings().ports.values()) == (11_001, 19_529)
    fields = {f"PLAIT_{name.upper()}" for name in type(settings()).model_fields if name.endswith("_port")}
    assert settings().ports.keys() >= fields
    with changed_settings(milvus_uri="http://host:no-port"):
        assert "PLAIT_MILVUS_URI" not in settings().ports


def test_a_port_that_is_chosen_is_none_that_is_configured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "_PORTS", range(21_000, 21_002))
    with changed_settings(http_port=21_000):
        assert {free_port() for _ in range(20)} == {21_001}


def test_two_settings_with_one_port_are_named() -> None:
    variables = "PLAIT_METRICS_PORT", "PLAIT_RAY_METRICS_PORT", "PLAIT_RAY_DASHBOARD_PORT"
    check_ports_differ(*variables)
    with (
        changed_settings(ray_metrics_port=9500, ray_dashboard_port=9500),
        pytest.raises(InvalidInput, match="PLAIT_RAY_METRICS_PORT and PLAIT_RAY_DASHBOARD_PORT are both 9500"),
    ):
        check_ports_differ(*variables)
