"""A Ray cluster as its dashboard shows it: what nodes it has, what is in use, and its Jobs API.

In: an address, or none for the local head. Every request carries Ray's token where there is one, so nothing depends on
when Ray was imported. It knows nothing of recipes.
"""

import logging
import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx

from plait.errors import PlaitError, Unauthorized, Unavailable, first_line
from plait.settings import settings

if TYPE_CHECKING:
    from ray.job_submission import JobSubmissionClient

_TIMEOUT_S = 10.0
_REMEDY = "Give --address http://HOST:8265, the dashboard of a running cluster."


@dataclass(frozen=True)
class Cluster:
    """A cluster by its dashboard. `is_local`: the head that Plait started here, which sees this machine's files."""

    url: str
    token: str
    is_local: bool = False

    @classmethod
    def find(cls, address: str | None) -> "Cluster":
        """The cluster at an address; without one that of RAY_API_SERVER_ADDRESS (Ray's own name for it), else the local
        head, which is started.

        Raises:
            Unavailable: when nothing answers there.
            Unauthorized: when the cluster wants a token, and there is none or a wrong one.
        """
        address = address or os.environ.get("RAY_API_SERVER_ADDRESS")
        if address is None:
            if settings().ray_address is not None:
                raise Unavailable(
                    "PLAIT_RAY_ADDRESS says where to join a cluster, not where its dashboard is.", _REMEDY
                )
            from plait.local.ray_head import ensure_head, token

            cluster = cls(ensure_head(), token(), is_local=True)
        else:
            url = address if "://" in address else f"http://{address}"
            cluster = cls(url.rstrip("/"), _token())
        cluster.get("/api/version")
        return cluster

    def get(self, path: str) -> Any:
        """What the dashboard answers, parsed.

        Raises:
            Unavailable: when it does not answer, or is no dashboard of Ray's.
            Unauthorized: when the token is missing or wrong.
        """
        try:
            response = httpx.get(f"{self.url}{path}", headers=self.headers, timeout=_TIMEOUT_S)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise Unavailable(f"No Ray dashboard answers at {self.url} ({type(error).__name__}).", _REMEDY) from None
        if response.status_code in (401, 403):
            what = "is not the one of" if self.token else "is missing for"
            raise Unauthorized(
                f"Ray's token {what} the cluster at {self.url}.",
                "Set RAY_AUTH_TOKEN, or RAY_AUTH_TOKEN_PATH to the file that holds it.",
            )
        try:
            return response.raise_for_status().json()
        except (httpx.HTTPStatusError, ValueError):
            raise Unavailable(f"{self.url} is no dashboard of Ray ({response.status_code}).", _REMEDY) from None

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"} if self.token else {}

    @cached_property
    def jobs(self) -> "JobSubmissionClient":
        """Ray's own client."""
        from ray.job_submission import JobSubmissionClient

        if "PLAIT_DEBUG" not in os.environ:
            for name in ("ray", "ray.dashboard.modules.dashboard_sdk", "ray.dashboard.modules.job.sdk"):
                logging.getLogger(name).setLevel(logging.WARNING)
        try:
            return JobSubmissionClient(self.url, headers=self.headers)
        except (ConnectionError, RuntimeError) as error:
            raise Unavailable(f"The Jobs API at {self.url} does not answer ({first_line(error)}).", _REMEDY) from error

    def nodes(self) -> list[dict[str, float]]:
        """What each live node has, by resource."""
        listed = self.get("/api/v0/nodes?detail=true&filter_keys=state&filter_predicates=%3D&filter_values=ALIVE")
        return [node["resources_total"] for node in listed["data"]["result"]["result"]]

    def in_use(self) -> dict[str, float]:
        """What all nodes together have in use, by resource; empty as long as a new cluster has not counted."""
        status = self.get("/api/cluster_status")["data"]["clusterStatus"] or {}
        usage = (status.get("loadMetricsReport") or {}).get("usage") or {}
        return {kind: float(used) for kind, (used, _) in usage.items()}


def _token() -> str:
    """Ray's token, from where Ray itself looks for it."""
    if given := os.environ.get("RAY_AUTH_TOKEN"):
        return given.strip()
    named = os.environ.get("RAY_AUTH_TOKEN_PATH")
    file = Path(named or "~/.ray/auth_token").expanduser()
    try:
        return file.read_text(encoding="utf-8").strip()
    except OSError as error:
        if named:
            raise PlaitError(f"RAY_AUTH_TOKEN_PATH names '{file}', which cannot be read ({error.strerror}).") from None
        return ""
