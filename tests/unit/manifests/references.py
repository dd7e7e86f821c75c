"""What an object names has to exist: in the build, among the Secrets that secrets.sh makes, or in Plait's code."""

import re
import shlex
from collections.abc import Iterator
from functools import cache
from importlib.util import find_spec
from typing import Any

from described import description

from manifests import Object, named, of_kind
from manifests.pods import Pod, pods, selects, services
from plait.errors import PlaitError
from plait.recipes import IngestRecipe, TrainRecipe, load_recipe
from plait.settings import Settings

_ADDRESS = re.compile(r"\b(plait-[a-z-]+):(\d+)")
_PROBES = ("readinessProbe", "livenessProbe", "startupProbe")


def problems(objects: list[Object], secrets: dict[str, set[str]]) -> list[str]:
    """Whatever is named and is not there. `secrets`: keys by name."""
    found = [f"{pod.owner}: {p}" for pod in pods(objects) for p in _pod_problems(pod, objects, secrets)]
    found += _selector_problems(objects) + _queue_problems(objects)
    known = services(objects)
    for object_ in objects:
        for host, port in _ADDRESS.findall(str(object_)):
            if int(port) not in known.get(host, ()):
                found.append(f"{named(object_)}: there is no Service {host} with port {port}")
        if object_["kind"] == "RoleBinding":
            subjects = {s["name"] for s in object_["subjects"]} - _names(objects, "ServiceAccount")
            roles = {object_["roleRef"]["name"]} - _names(objects, "Role")
            found += [f"{named(object_)}: there is no {name}" for name in sorted(subjects | roles)]
        if object_["kind"] == "Milvus":
            keys = secrets.get(object_["spec"]["dependencies"]["storage"]["secretRef"], set())
            if not {"accesskey", "secretkey"} <= keys:
                found.append(f"{named(object_)}: its storage's Secret has no accesskey and secretkey")
        for reference in _references(object_, "secretKeyRef"):
            if reference["key"] not in secrets.get(reference["name"], set()):
                found.append(f"{named(object_)}: there is no Secret {reference['name']} with {reference['key']}")
    for job in of_kind(objects, "RayJob", "RayCronJob"):
        found += [f"{named(job)}: {p}" for p in _entrypoint_problems(job, objects)]
    return found


def _pod_problems(pod: Pod, objects: list[Object], secrets: dict[str, set[str]]) -> Iterator[str]:
    configs = {c["metadata"]["name"]: c["data"] for c in of_kind(objects, "ConfigMap")}
    account, priority = pod.spec.get("serviceAccountName"), pod.spec.get("priorityClassName")
    if pod.spec and account not in _names(objects, "ServiceAccount"):
        yield f"there is no ServiceAccount {account}"
    if priority and priority not in _names(objects, "PriorityClass"):
        yield f"there is no PriorityClass {priority}"
    volumes = {v["name"]: v for v in pod.spec.get("volumes", [])}
    for volume in volumes.values():
        if "configMap" in volume and volume["configMap"]["name"] not in configs:
            yield f"there is no ConfigMap {volume['configMap']['name']}"
        claim = volume.get("persistentVolumeClaim", {}).get("claimName")
        if claim and claim not in _names(objects, "PersistentVolumeClaim"):
            yield f"there is no claim {claim}"
    for container in pod.containers:
        for mount in container.get("volumeMounts", []):
            if mount["name"] not in volumes.keys() | pod.claims:
                yield f"container {container['name']} mounts {mount['name']}, which is no volume"
        for source in container.get("envFrom", []):
            name = source["configMapRef"]["name"]
            if name not in configs:
                yield f"there is no ConfigMap {name}"
            for variable in configs.get(name, {}):
                if (
                    variable.startswith("PLAIT_")
                    and variable.removeprefix("PLAIT_").lower() not in Settings.model_fields
                ):
                    yield f"Plait has no setting {variable}"
        for reference in _references(container, "configMapKeyRef"):
            if reference["key"] not in configs.get(reference["name"], {}):
                yield f"there is no ConfigMap {reference['name']} with {reference['key']}"
        yield from _probe_problems(container)
        words = " ".join(container.get("command", []))
        for module in re.findall(r"(?:-m,?) ([\w.]+)", words):
            if find_spec(module) is None:
                yield f"there is no module {module}"


def _probe_problems(container: dict[str, Any]) -> Iterator[str]:
    ports = {p["name"]: p["containerPort"] for p in container.get("ports", [])}
    for probe in (container[name] for name in _PROBES if name in container):
        port = (probe.get("httpGet") or probe.get("tcpSocket") or {}).get("port")
        if port is not None and port not in ports and port not in ports.values():
            yield f"a probe of container {container['name']} asks port {port}, which it has not"
        command = " ".join((probe.get("exec") or {}).get("command", []))
        for number, path in re.findall(r"127\.0\.0\.1:(\d+)(/\S*)", command):
            # Ray's agent listens on 52365 and declares no port.
            if int(number) not in {*ports.values(), 52365}:
                yield f"a probe of container {container['name']} asks port {number}, which it has not"
            elif int(number) == ports.get("serve") and path not in _api_paths():
                yield f"the API has no {path}"


@cache
def _api_paths() -> frozenset[str]:
    return frozenset(description()["paths"])


def _selector_problems(objects: list[Object]) -> list[str]:
    found, all_pods = [], pods(objects)
    for object_ in of_kind(objects, "Service"):
        chosen = [p for p in all_pods if selects({"matchLabels": object_["spec"]["selector"]}, p.labels)]
        if not chosen:
            found.append(f"{named(object_)} selects no pod")
        for port in object_["spec"]["ports"]:
            if any(port["targetPort"] not in p.ports() for p in chosen):
                found.append(f"{named(object_)}: its pods have no port {port['targetPort']}")
    for object_ in of_kind(objects, "Deployment", "StatefulSet", "PodDisruptionBudget"):
        if not any(selects(object_["spec"]["selector"], p.labels) for p in all_pods):
            found.append(f"{named(object_)} selects no pod")
    jobs_are_here = any(p.owner.startswith("RayJob") for p in all_pods)
    for object_ in of_kind(objects, "NetworkPolicy"):
        found += [f"{named(object_)}: {p}" for p in _policy_problems(object_["spec"], all_pods, jobs_are_here)]
    return found


def _policy_problems(spec: dict[str, Any], all_pods: list[Pod], jobs_are_here: bool) -> Iterator[str]:
    chosen = [p for p in all_pods if selects(spec["podSelector"], p.labels)]
    if not chosen:
        if jobs_are_here or not _is_about_jobs(spec["podSelector"]):
            yield f"selects no pod by {spec['podSelector']}"
        return
    for rule in spec.get("ingress", []):
        for port in (p["port"] for p in rule.get("ports", [])):
            if not any(port in p.ports() or port in p.ports().values() for p in chosen):
                yield f"the pods that are asked have no port {port}"
    for rule in (*spec.get("ingress", []), *spec.get("egress", [])):
        for peer in (*rule.get("from", []), *rule.get("to", [])):
            if "namespaceSelector" in peer or "podSelector" not in peer:
                continue
            asked = [p for p in all_pods if selects(peer["podSelector"], p.labels)]
            if not asked and (jobs_are_here or not _is_about_jobs(peer["podSelector"])):
                yield f"no pod is meant by {peer['podSelector']}"
            for port in (p["port"] for p in rule.get("ports", []) if "to" in rule):
                if asked and not any(port in p.ports() or port in p.ports().values() for p in asked):
                    yield f"{', '.join(p.owner for p in asked)} has no port {port}"


def _is_about_jobs(selector: dict[str, Any]) -> bool:
    return (selector.get("matchLabels") or {}).get("app.kubernetes.io/component") in ("train", "ingest", "compare")


def _queue_problems(objects: list[Object]) -> list[str]:
    found = []
    for object_ in objects:
        labels = object_["metadata"].get("labels") or {}
        for label, kind in (("queue-name", "LocalQueue"), ("priority-class", "WorkloadPriorityClass")):
            name = labels.get(f"kueue.x-k8s.io/{label}")
            if name and name not in _names(objects, kind):
                found.append(f"{named(object_)}: there is no {kind} {name}")
        if object_["kind"] == "LocalQueue" and object_["spec"]["clusterQueue"] not in _names(objects, "ClusterQueue"):
            found.append(f"{named(object_)}: there is no ClusterQueue {object_['spec']['clusterQueue']}")
        if object_["kind"] == "ClusterQueue":
            flavors = {f["name"] for g in object_["spec"]["resourceGroups"] for f in g["flavors"]}
            missing = flavors - _names(objects, "ResourceFlavor")
            found += [f"{named(object_)}: there is no ResourceFlavor {name}" for name in sorted(missing)]
    return found


def _entrypoint_problems(job: Object, objects: list[Object]) -> Iterator[str]:
    spec = job["spec"] if job["kind"] == "RayJob" else job["spec"]["jobTemplate"]
    python, flag, module, *arguments = shlex.split(spec["entrypoint"])
    if (python, flag) != ("python", "-m") or find_spec(module) is None:
        yield f"there is no module to run: {spec['entrypoint']}"
        return
    recipe = next((a for a in arguments if a.startswith("/etc/plait/recipes/")), None)
    kind = {"plait.jobs.train": TrainRecipe, "plait.jobs.ingest": IngestRecipe}.get(module)
    if kind is None or recipe is None:
        return
    name = recipe.rpartition("/")[2]
    held = next((c["data"] for c in of_kind(objects, "ConfigMap") if c["metadata"]["name"] == "plait-recipes"), {})
    if name not in held:
        yield f"there is no recipe {name}"
        return
    try:
        load_recipe(kind, name.removesuffix(".yaml"), [a for a in arguments if a != recipe])
    except PlaitError as error:
        yield str(error)


def _references(value: Any, kind: str) -> Iterator[dict[str, str]]:
    if isinstance(value, dict):
        if isinstance(value.get(kind), dict):
            yield value[kind]
        for inner in value.values():
            yield from _references(inner, kind)
    elif isinstance(value, list):
        for inner in value:
            yield from _references(inner, kind)


def _names(objects: list[Object], kind: str) -> set[str]:
    return {o["metadata"]["name"] for o in of_kind(objects, kind)}
