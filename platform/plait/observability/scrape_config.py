"""A Prometheus configuration that scrapes this node: Plait's exporter and Ray's own metrics.

In: where they listen, by job name. It does not look whether anybody is there.
"""

from collections.abc import Mapping, Sequence

import yaml

_EVERY_INTERFACE = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}


def reachable(address: str) -> str:
    """An address (host:port) as somebody on this machine calls it: one that listens everywhere is on loopback too."""
    host, _, port = address.rpartition(":")
    host = _EVERY_INTERFACE.get(host, host)
    return f"[{host}]:{port}" if ":" in host and not host.startswith("[") else f"{host}:{port}"


def scrape_config(targets: Mapping[str, str], interval_s: int = 15, rule_files: Sequence[str] = ()) -> str:
    """YAML for `prometheus --config.file`.

    Args:
        targets: the address (host:port) of each job.
        rule_files: alerts; paths, from the folder of this configuration.
    """
    return yaml.safe_dump(
        {
            "global": {"scrape_interval": f"{interval_s}s"},
            **({"rule_files": list(rule_files)} if rule_files else {}),
            "scrape_configs": [
                {"job_name": job, "static_configs": [{"targets": [reachable(address)]}]}
                for job, address in targets.items()
            ],
        },
        sort_keys=False,
    )
