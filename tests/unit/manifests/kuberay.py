"""What KubeRay 1.7's controller refuses and its definitions let pass (validation.go of its controllers)."""

import re
from collections.abc import Iterator
from typing import Any

from manifests import Object, named, of_kind

LONGEST_NAME = {"RayCluster": 53, "RayService": 47, "RayJob": 47, "RayCronJob": 36}
KINDS = tuple(LONGEST_NAME)
_RESOURCES = {"num-cpus", "num-gpus", "memory", "resources"}


def problems(objects: list[Object], gates: frozenset[str] = frozenset()) -> list[str]:
    """`gates`: alpha features that the overlay says it needs."""
    found = []
    for object_ in of_kind(objects, *KINDS):
        found += [f"{named(object_)}: {p}" for p in _object_problems(object_, gates)]
    return found


def cluster_of(object_: Object) -> dict[str, Any]:
    """The specification of the Ray cluster inside."""
    spec: dict[str, Any] = object_["spec"]
    if object_["kind"] == "RayCronJob":
        spec = spec["jobTemplate"]
    if object_["kind"] == "RayCluster":
        return spec
    cluster: dict[str, Any] = spec["rayClusterConfig" if object_["kind"] == "RayService" else "rayClusterSpec"]
    return cluster


def _object_problems(object_: Object, gates: frozenset[str]) -> Iterator[str]:
    kind, name = object_["kind"], object_["metadata"]["name"]
    if len(name) > LONGEST_NAME[kind]:
        yield f"a name of {len(name)} characters, more than {LONGEST_NAME[kind]}"
    if not re.fullmatch(r"[a-z]([-a-z0-9]*[a-z0-9])?", name):
        yield f"'{name}' is no DNS-1035 label"
    yield from _cluster_problems(cluster_of(object_), object_["metadata"].get("annotations") or {}, gates)
    if kind == "RayService":
        yield from _service_problems(object_["spec"], gates)
    elif kind == "RayJob":
        yield from _job_problems(object_["spec"], gates)
    elif kind == "RayCronJob":
        if "RayCronJob" not in gates:
            yield "RayCronJob is behind a feature gate, which only an overlay that says so may need"
        if not re.fullmatch(r"(@\w+|[\d*/,A-Z-]+( [\d*/,A-Z-]+){4})", object_["spec"]["schedule"]):
            yield f"'{object_['spec']['schedule']}' is no schedule of five fields"
        yield from _job_problems(object_["spec"]["jobTemplate"], gates)


def _cluster_problems(spec: dict[str, Any], annotations: dict[str, str], gates: frozenset[str]) -> Iterator[str]:
    head, groups = spec["headGroupSpec"], spec.get("workerGroupSpecs", [])
    for name, group in [("head", head), *((g["groupName"], g) for g in groups)]:
        if _RESOURCES & set(group.get("rayStartParams") or {}) and group.get("resources"):
            yield f"group {name}: resources both in rayStartParams and in `resources`"
        if "labels" in (group.get("rayStartParams") or {}):
            yield f"group {name}: labels belong into the group's `labels`, not into rayStartParams"
        if not group["template"]["spec"]["containers"]:
            yield f"group {name}: no container"
    environment = {e["name"] for e in head["template"]["spec"]["containers"][0].get("env", [])}
    if spec.get("gcsFaultToleranceOptions") is not None:
        if old := environment & {"REDIS_PASSWORD", "RAY_REDIS_ADDRESS"}:
            yield f"gcsFaultToleranceOptions excludes {', '.join(sorted(old))} in the head's environment"
        if "redis-password" in head["rayStartParams"]:
            yield "gcsFaultToleranceOptions excludes redis-password in rayStartParams"
        if old_annotations := set(annotations) & {"ray.io/ft-enabled", "ray.io/external-storage-namespace"}:
            yield f"gcsFaultToleranceOptions excludes the annotation {', '.join(sorted(old_annotations))}"
        if spec["gcsFaultToleranceOptions"].get("backend") == "rocksdb" and "GCSEmbeddedStorage" not in gates:
            yield "embedded GCS storage is behind a feature gate"
    elif "RAY_REDIS_ADDRESS" in environment:
        yield "RAY_REDIS_ADDRESS is set without gcsFaultToleranceOptions"
    if "redis-username" in head["rayStartParams"] or "REDIS_USERNAME" in environment:
        yield "a Redis user belongs into gcsFaultToleranceOptions"
    for field, gate in (("networkPolicy", "RayClusterNetworkPolicy"), ("tlsOptions", "RayClusterMTLS")):
        if spec.get(field) and gate not in gates:
            yield f"{field} is behind a feature gate"
    yield from _autoscaler_problems(spec, environment)
    mode = (spec.get("authOptions") or {}).get("mode")
    if mode != "token":
        yield "a Ray cluster without token authentication"
    elif tuple(int(part) for part in spec.get("rayVersion", "0.0").split(".")[:2]) < (2, 52):
        yield f"token authentication needs rayVersion 2.52 or newer, not {spec.get('rayVersion')}"


def _autoscaler_problems(spec: dict[str, Any], environment: set[str]) -> Iterator[str]:
    groups = spec.get("workerGroupSpecs", [])
    for group in groups:
        if not group.get("minReplicas", 0) <= group.get("replicas", 0) <= group.get("maxReplicas", 2**31):
            yield f"group {group['groupName']}: replicas are not between minReplicas and maxReplicas"
    if not spec.get("enableInTreeAutoscaling"):
        if spec.get("autoscalerOptions"):
            yield "autoscalerOptions without enableInTreeAutoscaling"
        return
    if "RAY_enable_autoscaler_v2" in environment:
        yield "the autoscaler's version belongs into autoscalerOptions"
    if (spec.get("autoscalerOptions") or {}).get("version") == "v2":
        for name, group in [("head", spec["headGroupSpec"]), *((g["groupName"], g) for g in groups)]:
            if group["template"]["spec"].get("restartPolicy", "Never") != "Never":
                yield f"group {name}: autoscaler v2 needs restartPolicy Never"


def _service_problems(spec: dict[str, Any], gates: frozenset[str]) -> Iterator[str]:
    strategy = spec.get("upgradeStrategy") or {}
    kind = strategy.get("type", "NewCluster")
    if kind not in ("NewCluster", "NewClusterWithIncrementalUpgrade", "None"):
        yield f"there is no upgrade strategy {kind}"
    if kind != "NewClusterWithIncrementalUpgrade":
        return
    if "RayServiceIncrementalUpgrade" not in gates:
        yield "incremental upgrade is behind a feature gate, which only an overlay that says so may need"
    if not spec["rayClusterConfig"].get("enableInTreeAutoscaling"):
        yield "incremental upgrade needs the autoscaler"
    options = strategy.get("clusterUpgradeOptions") or {}
    if not options.get("gatewayClassName"):
        yield "incremental upgrade needs gatewayClassName"
    if options.get("intervalSeconds", 0) <= 0:
        yield "incremental upgrade needs intervalSeconds"
    if not 0 <= options.get("stepSizePercent", -1) <= options.get("maxSurgePercent", 100) <= 100:
        yield "incremental upgrade needs 0 <= stepSizePercent <= maxSurgePercent <= 100"


def _job_problems(spec: dict[str, Any], gates: frozenset[str]) -> Iterator[str]:
    if spec.get("submissionMode") == "SidecarMode" and spec.get("submitterPodTemplate"):
        yield "SidecarMode has no submitterPodTemplate"
    if not spec.get("shutdownAfterJobFinishes"):
        if spec.get("suspend"):
            yield "only a job with shutdownAfterJobFinishes can be suspended"
        if spec.get("ttlSecondsAfterFinished"):
            yield "ttlSecondsAfterFinished needs shutdownAfterJobFinishes"
    if spec.get("deletionStrategy") and "RayJobDeletionPolicy" not in gates:
        yield "deletionStrategy is behind a feature gate"
