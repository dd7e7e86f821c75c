"""Promote: a candidate through its gate into an alias's traffic, and back. What `plait promote` does, a console can.

In: a recipe, or the name of an adapter. Out: what has begun or ended, in a sentence. Serving moves the weights.
"""

from plait.adapters.registry import Registry
from plait.adapters.rollout import RolloutRecord
from plait.adapters.rollout_registry import RolloutRegistry
from plait.adapters.tracking import tracking_client
from plait.errors import Conflict, InvalidInput, NotFound
from plait.jobs.promote.job import Promotion
from plait.jobs.promote.job import promote as run
from plait.model_ids import AdapterRef
from plait.recipes import PromoteRecipe


def promote(recipe: PromoteRecipe) -> Promotion:
    """Take a candidate through its gate, and begin its rollout.

    Raises:
        PlaitError: as `plait.jobs.promote.job.promote`.
    """
    return run(recipe.candidate, recipe)


def rollouts(adapter: str | None = None) -> list[RolloutRecord]:
    """The last rollout of each adapter, or of one.

    Raises:
        NotFound: when this one had none.
    """
    registry = RolloutRegistry(tracking_client())
    if adapter is None:
        return registry.list()
    record = registry.get(adapter)
    if record is None:
        raise NotFound(f"No version of '{adapter}' was ever rolled out.", "Begin: plait promote NAME:VERSION")
    return [record]


def roll_back(adapter: str, why: str) -> str:
    """End the rollout that is under way, or let the alias of the last one mean its champion again; says which.

    Raises:
        InvalidInput: when a version is named.
        NotFound: when there was no rollout.
        Conflict: when the alias means another version than the one that was promoted: somebody moved it since.
    """
    ref = AdapterRef.parse(adapter)
    if str(ref) != ref.name:
        raise InvalidInput(f"'{adapter}' names a version.", f"A rollout is of the adapter: plait rollback {ref.name}")
    (record,) = rollouts(adapter)
    rollout = record.rollout
    champion, candidate = f"{adapter}:{rollout.champion}", f"{adapter}:{rollout.candidate}"
    if record.phase == "progressing":
        RolloutRegistry(tracking_client()).stop(adapter, why)
        return f"the rollout of {candidate} is ended; {adapter}@{rollout.alias} is {champion} within ten seconds"
    if record.alias_version != rollout.candidate:
        raise Conflict(
            f"{adapter}@{rollout.alias} does not mean {candidate}, which was rolled out last.",
            f"Say which version it shall mean: plait adapters alias {adapter}:VERSION {rollout.alias}",
        )
    Registry().set_alias(AdapterRef(adapter, rollout.champion), rollout.alias)
    return f"{adapter}@{rollout.alias} is {champion} again"
