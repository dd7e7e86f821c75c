"""Which adapters are where, from what every replica says of itself: the answer of `GET /v1/adapters`."""

from collections.abc import Iterable

from pydantic import BaseModel, ConfigDict

from plait.serve.adapters.lifecycle import Residency, Tier
from plait.serve.messages.protocol import ObjectList


class ReplicaAdapters(BaseModel):
    """What one replica has."""

    model_config = ConfigDict(frozen=True)

    replica: str
    adapters: list[Residency]


class AdapterInReplica(BaseModel):
    """An adapter in one replica. `requests`: those that hold it now."""

    replica: str
    tier: Tier
    requests: int
    loaded_at: str | None


class AdapterCard(BaseModel):
    """One set of weights, in all replicas. `rank` and `memory_bytes` are known once it was loaded."""

    id: str
    object: str = "adapter"
    name: str
    root: str
    rank: int | None
    memory_bytes: int
    pinned: bool
    replicas: list[AdapterInReplica]


def merged(reports: Iterable[ReplicaAdapters]) -> ObjectList[AdapterCard]:
    """One card for each set of weights, by id."""
    cards: dict[str, AdapterCard] = {}
    for report in sorted(reports, key=lambda report: report.replica):
        for adapter in report.adapters:
            card = cards.setdefault(
                adapter.key,
                AdapterCard(
                    id=adapter.key,
                    name=adapter.name,
                    root=adapter.root,
                    rank=None,
                    memory_bytes=0,
                    pinned=False,
                    replicas=[],
                ),
            )
            card.rank = adapter.rank if card.rank is None else card.rank
            card.memory_bytes = max(card.memory_bytes, adapter.memory_bytes)
            card.pinned = card.pinned or adapter.is_pinned
            card.replicas.append(
                AdapterInReplica(
                    replica=report.replica,
                    tier=adapter.tier,
                    requests=adapter.requests,
                    loaded_at=adapter.loaded_at,
                )
            )
    return ObjectList[AdapterCard](data=[cards[key] for key in sorted(cards)])
