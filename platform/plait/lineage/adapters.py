"""The lineage of weights: adapter version, run, training data, recipe, base model, and evaluations of the version.

In: a name of the registry, or what an answer says of who gave it. Out: a node. What is gone from the tracking server is
said at its place.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from plait.adapters.metadata import AdapterMetadata
from plait.adapters.registry import AdapterVersion, Registry
from plait.errors import InvalidInput, ModelNotFound, first_line
from plait.evaluation.runs.answerers import evaluations_of
from plait.lineage.node import Fact, LineageNode, moment
from plait.model_ids import BASE, AdapterRef

_MOST_EVALUATIONS = 20
_MOST_PARENTS = 20


def adapter_lineage(registry: Registry, ref: AdapterRef) -> LineageNode:
    """The lineage of the version that a reference means now, and of the versions that it continues from.

    Raises:
        ModelNotFound: when the registry has none.
    """
    return _adapter(registry, ref, _MOST_PARENTS)


def weights_lineage(registry: Registry, answered_by: str, location: str, base_model: str) -> LineageNode:
    """The lineage of the weights that gave an answer.

    Args:
        answered_by: `base`, a version of the registry (`support:3`), or a name of the admin API (`support#2`).
        location: of the last, where its weights are: a version of the registry, or a place outside it.
        base_model: the source of the server's base model.
    """
    if answered_by == BASE:
        note = "" if base_model else "Which base model it was, was not recorded."
        return LineageNode("base_model", base_model or BASE, note=note)
    try:
        ref = AdapterRef.parse(location or answered_by)
    except InvalidInput:
        facts: dict[str, Fact] = {"location": location} if location else {}
        return LineageNode(
            "adapter", answered_by, facts, "It was loaded from outside the registry, which knows no run."
        )
    try:
        found = adapter_lineage(registry, ref)
    except ModelNotFound as error:
        return LineageNode("adapter", str(ref), note=f"It is gone from the registry. {error}")
    return found if found.name == answered_by else replace(found, facts={"served_as": answered_by, **found.facts})


def _adapter(registry: Registry, ref: AdapterRef, parents_left: int) -> LineageNode:
    try:
        version = registry.resolve(ref)
    except InvalidInput as error:
        return LineageNode("adapter", str(ref), note=f"Its folder is gone or no adapter. {error}")
    made = version.metadata
    facts: dict[str, Fact] = {
        "method": made.method,
        "created_at": made.created_at,
        "plait_version": made.plait_version,
        **({"aliases": ", ".join(version.aliases)} if version.aliases else {}),
        **made.metrics,
    }
    children = [
        _run(registry.client, made.run_id),
        LineageNode("data", str(_in(made.recipe, "data", "train") or "training data"), {"sha256": made.dataset_sha256}),
        LineageNode("recipe", str(made.recipe.get("name") or version.name), dict(_fields(made))),
        LineageNode("base_model", made.base_model, {"sha256": made.base_sha256}),
        *_parent(registry, made, parents_left),
        *_evaluations(registry.client, version),
    ]
    return LineageNode("adapter", version.key, facts, children=tuple(children))


def _run(client: Any, run_id: str) -> LineageNode:
    from mlflow.exceptions import MlflowException

    try:
        run = client.get_run(run_id)
    except MlflowException as error:
        return LineageNode("run", run_id, note=f"The tracking server does not have this run ({first_line(error)}).")
    info = run.info
    facts: dict[str, Fact] = {"name": info.run_name, "status": info.status, "started_at": moment(info.start_time)}
    if info.end_time:
        facts["ended_at"] = moment(info.end_time)
    note = "" if info.lifecycle_stage == "active" else "The run was deleted."
    return LineageNode("run", run_id, facts, note)


def _parent(registry: Registry, made: AdapterMetadata, parents_left: int) -> Iterator[LineageNode]:
    """The version that training continued from, where it did."""
    if made.parent is None:
        return
    if not parents_left:
        yield LineageNode("adapter", made.parent, note="It is shown no further.")
        return
    try:
        yield _adapter(registry, AdapterRef.parse(made.parent), parents_left - 1)
    except (ModelNotFound, InvalidInput) as error:
        yield LineageNode("adapter", made.parent, note=f"It is gone from the registry. {error}")


def _evaluations(client: Any, version: AdapterVersion) -> Iterator[LineageNode]:
    for kept in evaluations_of(client, version.key, _MOST_EVALUATIONS):
        yield LineageNode(
            "evaluation", kept.name, {"run": kept.run_id, "started_at": moment(kept.started_ms), **kept.figures}
        )


def _fields(made: AdapterMetadata) -> Iterator[tuple[str, Fact]]:
    """The hash of recipe, base weights and examples, then every field that is set, as overrides name it."""
    yield "run_key", made.run_key
    yield from _flat(made.recipe, "")


def _flat(value: object, name: str) -> Iterator[tuple[str, Fact]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _flat(inner, f"{name}.{key}" if name else str(key))
    elif value is not None:
        yield name, value if isinstance(value, str | int | float | bool) else str(value)


def _in(recipe: dict[str, Any], section: str, field: str) -> object:
    found = recipe.get(section)
    return found.get(field) if isinstance(found, dict) else None
