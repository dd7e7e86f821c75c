"""A Prometheus configuration that scrapes this node: Plait's exporter and Ray's own metrics."""

import yaml

from plait.settings import settings


def scrape_config(interval_s: int = 15) -> str:
    """YAML for `prometheus --config.file`."""
    current = settings()
    targets = {"plait": current.metrics_port, "ray": current.ray_metrics_port}
    return yaml.safe_dump(
        {
            "global": {"scrape_interval": f"{interval_s}s"},
            "scrape_configs": [
                {"job_name": job, "static_configs": [{"targets": [f"{current.bind}:{port}"]}]}
                for job, port in targets.items()
            ],
        },
        sort_keys=False,
    )
