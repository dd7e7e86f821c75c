"""The pods that objects lead to, with the labels they will have, also those that operators make."""

from dataclasses import dataclass, field
from typing import Any

from manifests import Object, named
from manifests.kuberay import KINDS, cluster_of


@dataclass(frozen=True)
class Pod:
    """One kind of pod."""

    owner: str
    labels: dict[str, str]
    spec: dict[str, Any] = field(default_factory=dict)
    claims: frozenset[str] = frozenset()
    # Ports of a pod that an operator makes, and whose specification is not in the manifests.
    known_ports: frozenset[int] = frozenset()

    @property
    def containers(self) -> list[dict[str, Any]]:
        return [*self.spec.get("initContainers", []), *self.spec.get("containers", [])]

    def ports(self) -> dict[str, int]:
        """Number by name of the ports of all containers; number by number of those of an operator's pod."""
        named_ports = {p["name"]: p["containerPort"] for c in self.containers for p in c.get("ports", [])}
        return named_ports | {str(number): number for number in self.known_ports}


def pods(objects: list[Object]) -> list[Pod]:
    found = []
    for object_ in objects:
        if object_["kind"] in ("Deployment", "StatefulSet"):
            template, spec = object_["spec"]["template"], object_["spec"]
            claims = frozenset(c["metadata"]["name"] for c in spec.get("volumeClaimTemplates", []))
            found.append(Pod(named(object_), template["metadata"]["labels"], template["spec"], claims))
        elif object_["kind"] in KINDS:
            cluster = cluster_of(object_)
            for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"]):
                name = group.get("groupName", "headgroup")
                role = "head" if name == "headgroup" else "worker"
                labels = group["template"]["metadata"]["labels"] | {
                    "ray.io/is-ray-node": "yes",
                    "ray.io/node-type": role,
                    "ray.io/group": name,
                    "ray.io/cluster": "its-name",
                }
                found.append(Pod(f"{named(object_)}, group {name}", labels, group["template"]["spec"]))
            if cluster.get("gcsFaultToleranceOptions"):
                found.append(Pod("KubeRay's cleaner of Redis", {"ray.io/node-type": "redis-cleanup"}))
        elif object_["kind"] == "Milvus":
            instance = object_["metadata"]["name"]
            labels = {"app.kubernetes.io/instance": instance, "app.kubernetes.io/name": "milvus"}
            found.append(Pod(named(object_), labels, known_ports=frozenset({19530, 9091})))
            etcd = {"app.kubernetes.io/instance": f"{instance}-etcd", "app.kubernetes.io/name": "etcd"}
            found.append(Pod("etcd of Milvus", etcd, known_ports=frozenset({2379, 2380})))
    return found


def services(objects: list[Object]) -> dict[str, set[int]]:
    """Ports by name of the Services that are there, also those that operators make."""
    found = {}
    for object_ in objects:
        name = object_["metadata"]["name"]
        if object_["kind"] == "Service":
            found[name] = {p["port"] for p in object_["spec"]["ports"]}
        elif object_["kind"] == "RayService":
            found[f"{name}-serve-svc"] = {8000}
        elif object_["kind"] == "Milvus":
            found[f"{name}-milvus"] = {19530}
    return found


def selects(selector: dict[str, Any], labels: dict[str, str]) -> bool:
    if any(labels.get(k) != v for k, v in (selector.get("matchLabels") or {}).items()):
        return False
    for rule in selector.get("matchExpressions") or []:
        value = labels.get(rule["key"])
        allowed = {"Exists": value is not None, "DoesNotExist": value is None, "In": value in rule.get("values", [])}
        if not allowed[rule["operator"]]:
            return False
    return True
