"""Which weights answered as the arms of an evaluation: a tag of its run in MLflow, by which a version's are found.

In: arms and who answered as them. Out: the tag, and the runs that have certain weights in it, with their figures.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import isfinite
from typing import Any

from plait.adapters.tracking import EXPERIMENT, metric_name

TAG = "plait.answered_by"


@dataclass(frozen=True)
class KeptEvaluation:
    """An evaluation that some weights took part in.

    Attributes:
        started_ms: since 1970.
        figures: of the arms that these weights were, by metric and arm, as in `contains/rag/support`.
    """

    run_id: str
    name: str
    started_ms: int
    figures: Mapping[str, float]


def answerers_tag(answered: Iterable[tuple[str, str]]) -> str:
    """The value of the tag, of pairs of an arm and the weights that answered as it (empty: nobody did)."""
    by_arm: dict[str, set[str]] = {}
    for arm, weights in answered:
        if weights:
            by_arm.setdefault(arm, set()).add(weights)
    return json.dumps({arm: sorted(weights) for arm, weights in by_arm.items()})


def evaluations_of(client: Any, weights: str, most: int) -> list[KeptEvaluation]:
    """The evaluations that a version of an adapter took part in, the newest first.

    Args:
        client: of the tracking server (`tracking_client`).
        weights: as in `support:3`.
        most: how many to return.
    """
    experiment = client.get_experiment_by_name(EXPERIMENT)
    runs = client.search_runs(
        [experiment.experiment_id],
        f"tags.`{TAG}` LIKE '%\"{weights}\"%'",
        max_results=most,
        order_by=["attributes.start_time DESC"],
    )
    return [kept for run in runs if (kept := _kept(run, weights)) is not None]


def _kept(run: Any, weights: str) -> KeptEvaluation | None:
    by_arm = json.loads(run.data.tags[TAG])
    arms = {metric_name(arm) for arm, answered in by_arm.items() if weights in answered}
    if not arms:  # to LIKE, `_` is any character
        return None
    figures = {n: v for n, v in run.data.metrics.items() if n.partition("/")[2] in arms and isfinite(v)}
    return KeptEvaluation(run.info.run_id, run.info.run_name, run.info.start_time, figures)
