"""Promotion as a job: a candidate through its gate; then a rollout in the registry, which serving carries on.

In: what the recipe asks. Out: a `Promotion`. A gate that is not met changes nothing that is served. The gate's report
is kept with the candidate in the registry, met or not.
"""

import secrets
from dataclasses import dataclass
from datetime import UTC, datetime

from plait.adapters.registry import AdapterVersion, Registry
from plait.adapters.rollout import Rollout, RolloutPlan
from plait.adapters.rollout_registry import RolloutRegistry
from plait.adapters.tracking import tracking_client
from plait.chat_client import server_url
from plait.errors import Conflict, ModelNotFound
from plait.jobs.promote.gate import GateReport, gate_report
from plait.model_ids import AdapterRef
from plait.recipes.promote import CanaryConfig, PromoteConfig, ShadowConfig

GATE_TAG = "plait.gate"
"""Of the candidate's version in MLflow: the report of its last gate."""


@dataclass(frozen=True)
class Promotion:
    """What became of a candidate that met its gate.

    Attributes:
        champion: as in `support:3`; None: there was none.
        rollout: None: the alias was moved at once.
    """

    candidate: str
    champion: str | None
    alias: str
    gate: GateReport | None
    rollout: Rollout | None


def promote(candidate: str, config: PromoteConfig) -> Promotion:
    """Take a registered version through its gate, and begin its rollout.

    Where the alias means nothing yet there is no champion to fall back to: it is held against the base model, and the
    alias is set at once.

    Raises:
        ModelNotFound: when there is no such adapter.
        Conflict: when it is the champion already, or another version is being rolled out.
        GateNotMet: with a sentence for each check that is not met; then nothing has changed.
        PlaitError: as `gate_report`.
    """
    registry, client = Registry(), tracking_client()
    rollouts = RolloutRegistry(client)
    version = registry.resolve(AdapterRef.parse(candidate))
    champion = _champion(registry, version, config.alias)
    if champion is not None and champion.version == version.version:
        raise Conflict(f"{version.key} is {version.name}@{config.alias} already.", "Nothing is to be done.")
    rollouts.check_none_is_under_way(version.name)
    report = None
    if config.gate is not None:
        report = gate_report(config.gate, version, champion, config.url or server_url())
        client.set_model_version_tag(version.name, str(version.version), GATE_TAG, report.model_dump_json())
        report.check()
    if champion is None or config.canary is None:
        registry.set_alias(AdapterRef(version.name, version.version), config.alias)
        return Promotion(version.key, champion.key if champion else None, config.alias, report, None)
    rollout = Rollout(
        id=secrets.token_hex(8),
        adapter=version.name,
        alias=config.alias,
        candidate=version.version,
        champion=champion.version,
        plan=_plan(config.shadow, config.canary),
        started_at=datetime.now(UTC),
    )
    rollouts.start(rollout)
    return Promotion(version.key, champion.key, config.alias, report, rollout)


def _champion(registry: Registry, candidate: AdapterVersion, alias: str) -> AdapterVersion | None:
    try:
        return registry.resolve(AdapterRef(candidate.name, alias=alias))
    except ModelNotFound:
        return None


def _plan(shadow: ShadowConfig | None, canary: CanaryConfig) -> RolloutPlan:
    return RolloutPlan(
        shadow_share=shadow.share if shadow else 0.0,
        shadow_samples=shadow.samples if shadow else 0,
        **canary.model_dump(),
    )
