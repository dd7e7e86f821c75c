"""Rollouts in the registry: what survives a restart of everything.

In: a rollout, its state, a wish to end it. Out: a `RolloutRecord`. They are tags of the registered model in MLflow, one
for each writer, so that no two overwrite each other: `plait.rollout` and `plait.rollout.stop` are a person's,
`plait.rollout.state` is the controller's.
"""

from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from plait.adapters.rollout import Rollout, RolloutEvent, RolloutRecord, RolloutState, RolloutStop
from plait.errors import Conflict, NotFound

_ROLLOUT, _STATE, _STOP = "plait.rollout", "plait.rollout.state", "plait.rollout.stop"
T = TypeVar("T", bound=BaseModel)


class RolloutRegistry:
    """The last rollout of each adapter.

    Args:
        client: of the tracking server (`tracking_client`).
    """

    def __init__(self, client: Any) -> None:
        self._client = client

    def get(self, adapter: str) -> RolloutRecord | None:
        """The last rollout of an adapter; None: there was none, or there is no such adapter."""
        from mlflow.exceptions import MlflowException

        try:
            return _record(self._client.get_registered_model(adapter))
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            return None

    def list(self) -> list[RolloutRecord]:
        """The last rollout of every adapter that had one, by name."""
        named = [model.name for model in self._client.search_registered_models() if _ROLLOUT in (model.tags or {})]
        return [record for name in sorted(named) if (record := self.get(name)) is not None]

    def start(self, rollout: Rollout) -> None:
        """Begin a rollout; serving follows it within seconds.

        Raises:
            Conflict: while another one of this adapter is under way.
        """
        self.check_none_is_under_way(rollout.adapter)
        self._set(rollout.adapter, _ROLLOUT, rollout)

    def check_none_is_under_way(self, adapter: str) -> None:
        """Find out whether a rollout may begin.

        Raises:
            Conflict: while another one of this adapter is under way.
        """
        before = self.get(adapter)
        if before is not None and before.phase == "progressing":
            raise Conflict(
                f"'{adapter}:{before.rollout.candidate}' is being rolled out already.",
                f"Wait for its end, or end it: plait rollback {adapter}",
            )

    def write(self, adapter: str, state: RolloutState) -> None:
        """Keep what the controller has made of a rollout."""
        self._set(adapter, _STATE, state)

    def stop(self, adapter: str, why: str) -> RolloutRecord:
        """Ask that the rollout that is under way ends; from now on requests mean the champion.

        Raises:
            NotFound: when none is under way.
        """
        record = self.get(adapter)
        if record is None or record.phase != "progressing":
            raise NotFound(f"No version of '{adapter}' is being rolled out.", "plait adapters rollouts lists them.")
        self._set(adapter, _STOP, RolloutStop(rollout=record.rollout.id, at=datetime.now(UTC), why=why))
        return record

    def _set(self, adapter: str, tag: str, value: BaseModel) -> None:
        self._client.set_registered_model_tag(adapter, tag, value.model_dump_json())


def _record(model: Any) -> RolloutRecord | None:
    tags, aliases = model.tags or {}, model.aliases or {}
    rollout = _read(Rollout, tags.get(_ROLLOUT))
    if rollout is None:
        return None
    state, stop = _read(RolloutState, tags.get(_STATE)), _read(RolloutStop, tags.get(_STOP))
    if state is None or state.rollout != rollout.id:
        state = RolloutState(
            rollout=rollout.id,
            stage=rollout.plan.first_stage,
            since=rollout.started_at,
            events=(RolloutEvent(at=rollout.started_at, what="started", why=f"{rollout.adapter}:{rollout.candidate}"),),
        )
    pointed = aliases.get(rollout.alias)
    return RolloutRecord(
        rollout=rollout,
        state=state,
        stop=stop if stop is not None and stop.rollout == rollout.id else None,
        alias_version=None if pointed is None else int(pointed),
    )


def _read(kind: type[T], text: str | None) -> T | None:
    """None for what is not there, and for what a person or a later Plait wrote in another form."""
    with suppress(ValidationError):
        return None if text is None else kind.model_validate_json(text)
    return None
