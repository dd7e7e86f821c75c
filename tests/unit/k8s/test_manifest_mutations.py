"""Each check of the manifests sees what it is there for: one thing is spoiled, and one of the checks has to say so."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from manifests import Object, kuberay, of_kind, references, schemas, serving
from manifests.build import JOBS, build, gates, secrets

pytestmark = pytest.mark.no_cover  # nothing of Plait's runs here
Spoil = Callable[[list[Object]], None]


def at(kind: str, path: str, value: Any, overlay: str = "production", says: str = "") -> Any:
    """A mutation: the field `path` of the first object of a kind (`Kind/name` for a certain one) becomes `value`."""

    def spoil(objects: list[Object]) -> None:
        wanted, _, name = kind.partition("/")
        target: Any = next(o for o in of_kind(objects, wanted) if name in ("", o["metadata"]["name"]))
        *way, last = path.split("|")
        for step in way:
            target = target[int(step) if isinstance(target, list) else step]
        key = int(last) if isinstance(target, list) else last
        if value is DELETED:
            del target[key]
        elif isinstance(value, tuple):
            assert value[0] in target[key], f"{value[0]} is not in {target[key]}"
            target[key] = target[key].replace(*value)
        else:
            target[key] = value

    told = "deleted" if value is DELETED else value
    return pytest.param(overlay, spoil, says, id=f"{kind} {path.replace('|', '.')} {told}"[:110])


DELETED = object()
GONE = {"policy": "DeleteSelf"}
CLUSTER = "spec|rayClusterConfig"
HEAD = f"{CLUSTER}|headGroupSpec|template|spec"
REDIS = f"{CLUSTER}|gcsFaultToleranceOptions|redisPassword"
LLM = f"{CLUSTER}|workerGroupSpecs|1"
WORKER = f"{LLM}|template|spec"
JOB_WORKER = "spec|rayClusterSpec|workerGroupSpecs|0|template|spec"

MUTATIONS = [
    # wrong fields and types
    at("RayService", "spec|serveConfig", "x", says="serveConfig"),
    at("RayService", f"{CLUSTER}|headGroupSpecs", {}, says="headGroupSpecs"),
    at("RayService", f"{WORKER}|containers|0|resource", {}, says="resource"),
    at("RayService", f"{LLM}|template|metadata|label", {}, says="label"),
    at("RayService", f"{LLM}|replicas", "three", says="three"),
    at("RayService", f"{CLUSTER}|authOptions|mode", "tokens", says="tokens"),
    at("RayService", f"{CLUSTER}|autoscalerOptions|version", "v3", says="v3"),
    at("RayService", f"{HEAD}|containers|0|volumeMounts|0|mountpath", "/x", says="mountpath"),
    at("RayJob", "spec|backOffLimit", 1, "dev/jobs", says="backOffLimit"),
    at("RayJob", "spec|entrypoint", 7, "dev/jobs", says="entrypoint"),
    at("RayCronJob", "spec|jobTemplate|entryPoint", "x", "nightly-ingest", says="entryPoint"),
    at("Milvus", "spec|components|querynode", {}, says="querynode"),
    at("Milvus", "spec|mode", "both", says="both"),
    at("ClusterQueue", "spec|resourceGroups|0|flavors|0|resources|0|quota", 1, says="quota"),
    at("ClusterQueue", "spec|queueingStrategy", "LIFO", says="LIFO"),
    at("WorkloadPriorityClass", "value", DELETED, says="value"),
    at("Deployment", "spec|template|spec|containers|0|image", 5, says="image"),
    at("Deployment", "spec|replica", 2, says="replica"),
    at("NetworkPolicy/deny-all", "spec|podSelectors", {}, says="podSelectors"),
    at("PodDisruptionBudget", "spec|minUnavailable", 1, says="minUnavailable"),
    at("RayService", "apiVersion", "ray.io/v2", says="no definition"),
    # KubeRay's rules
    at("RayService", "metadata|name", "p" * 48, says="48 characters"),
    at("RayJob", "metadata|name", "p" * 48, "dev/jobs", says="48 characters"),
    at("RayCronJob", "metadata|name", "p" * 37, "nightly-ingest", says="37 characters"),
    at("RayService", "metadata|name", "1plait", says="DNS-1035"),
    at("RayService", f"{CLUSTER}|rayVersion", "2.51.0", says="2.52"),
    at("RayService", f"{CLUSTER}|authOptions", DELETED, says="token"),
    at("RayJob", "spec|rayClusterSpec|authOptions|mode", "disabled", "dev/jobs", says="token"),
    at("RayService", f"{CLUSTER}|headGroupSpec|resources", {"CPU": "1"}, says="rayStartParams"),
    at("RayService", f"{LLM}|rayStartParams|labels", "a=b", says="labels"),
    at("RayService", f"{WORKER}|restartPolicy", "Always", says="restartPolicy"),
    at("RayService", f"{HEAD}|restartPolicy", "OnFailure", says="restartPolicy"),
    at("RayService", f"{HEAD}|containers|0|env|0|name", "REDIS_PASSWORD", says="REDIS_PASSWORD"),
    at("RayService", f"{CLUSTER}|headGroupSpec|rayStartParams|redis-password", "x", says="redis-password"),
    at("RayService", "metadata|annotations", {"ray.io/ft-enabled": "true"}, says="ft-enabled"),
    at("RayService", f"{CLUSTER}|gcsFaultToleranceOptions|backend", "rocksdb", says="feature gate"),
    at("RayService", f"{CLUSTER}|networkPolicy", {"mode": "DenyAll"}, says="feature gate"),
    at("RayService", f"{CLUSTER}|tlsOptions", {"enabled": True}, says="feature gate"),
    at("RayService", f"{LLM}|minReplicas", 9, says="minReplicas"),
    at("RayService", "spec|upgradeStrategy|type", "Incremental", says="upgrade strategy"),
    at("RayService", "spec|upgradeStrategy|type", "NewClusterWithIncrementalUpgrade", says="feature gate"),
    *(
        at("RayService", path, value, "incremental-upgrade", says=says)
        for path, value, says in (
            (f"{CLUSTER}|enableInTreeAutoscaling", False, "autoscaler"),
            ("spec|upgradeStrategy|clusterUpgradeOptions|gatewayClassName", "", "gatewayClassName"),
            ("spec|upgradeStrategy|clusterUpgradeOptions|stepSizePercent", 26, "stepSizePercent"),
            ("spec|upgradeStrategy|clusterUpgradeOptions|maxSurgePercent", 101, "maxSurgePercent"),
            ("spec|upgradeStrategy|clusterUpgradeOptions|intervalSeconds", 0, "intervalSeconds"),
        )
    ),
    at("RayCronJob", "spec|schedule", "every night", "nightly-ingest", says="schedule"),
    at("RayJob", "spec|shutdownAfterJobFinishes", False, "dev/jobs", says="shutdownAfterJobFinishes"),
    at(
        "RayJob",
        "spec|deletionStrategy",
        {"onSuccess": GONE, "onFailure": GONE},
        "dev/jobs",
        says="feature gate",
    ),
    # what is named and does not exist
    at("RayService", "spec|serveConfigV2", ("plait.serve.app:build", "plait.serve.app:create"), says="app:create"),
    at("RayService", "spec|serveConfigV2", ("port: 8000", "port: 8001"), says="8001"),
    at("RayService", "spec|serveConfigV2", ("host: 0.0.0.0", "host: 127.0.0.1"), says="address"),
    at("RayService", "spec|serveConfigV2", ("max_batch_size", "max_batch"), says="max_batch"),
    at("RayService", "spec|serveConfigV2", ("name: Embedder", "name: Embeder"), says="Embeder"),
    at("RayService", "spec|serveConfigV2", ("num_gpus: 1", "num_gpus: 2"), says="LLM"),
    at("RayService", "spec|serveConfigV2", ("plait-group: light", "plait-group: heavy"), says="heavy"),
    at("RayService", "spec|serveConfigV2", ("proxy_location", "proxy_place"), says="proxy_place"),
    at("RayService", f"{LLM}|template|spec|containers|0|ports|0|containerPort", 8001, says="8000"),
    at("RayService", f"{WORKER}|serviceAccountName", "nobody", says="nobody"),
    at("RayService", f"{WORKER}|priorityClassName", "urgent", says="urgent"),
    at("RayService", f"{WORKER}|containers|0|env|0|valueFrom|secretKeyRef|key", "admin", says="admin"),
    at(
        "RayService",
        f"{CLUSTER}|gcsFaultToleranceOptions|redisPassword|valueFrom|secretKeyRef|name",
        "r",
        says="Secret r",
    ),
    at("RayService", f"{WORKER}|containers|0|envFrom|0|configMapRef|name", "plait-env", says="plait-env"),
    at("RayService", f"{WORKER}|containers|0|volumeMounts|0|name", "hom", says="hom"),
    at("RayService", f"{WORKER}|containers|0|readinessProbe|exec|command|2", ("/readyz", "/ready"), says="/ready"),
    at("RayService", f"{WORKER}|containers|0|readinessProbe|exec|command|2", (":8000", ":8999"), says="8999"),
    at(
        "RayService",
        f"{WORKER}|containers|1|command|2",
        "plait.observability.export",
        says="plait.observability.export",
    ),
    at("ConfigMap/plait-environment", "data|PLAIT_HOM", "/x", says="PLAIT_HOM"),
    at("ConfigMap/plait-environment", "data|PLAIT_MILVUS_URI", "http://plait-milvus:19531", says="19531"),
    at("ConfigMap/plait-object-storage", "data|mlflow", DELETED, says="mlflow"),
    at("Service/plait-mlflow", "spec|selector|app.kubernetes.io/component", "tracking", says="no pod"),
    at("Service/plait-mlflow", "spec|ports|0|targetPort", "web", says="web"),
    at("Service/plait-redis", "spec|ports|0|port", 6380, says="6379"),
    at("Deployment", "spec|template|spec|containers|0|readinessProbe|httpGet|port", "web", says="web"),
    at("StatefulSet/plait-redis", "spec|template|spec|containers|0|ports|0|containerPort", 6380, says="6379"),
    at("PodDisruptionBudget", "spec|selector|matchLabels|app.kubernetes.io/component", "serving", says="no pod"),
    at("NetworkPolicy/redis", "spec|podSelector|matchLabels|app.kubernetes.io/name", "redis", says="no pod"),
    at("NetworkPolicy/clients-to-serve", "spec|ingress|0|ports|0|port", 8001, says="8001"),
    at("NetworkPolicy/serve-to-redis", "spec|egress|0|ports|0|port", 6380, says="6380"),
    at("NetworkPolicy/prometheus-to-ray", "spec|ingress|0|ports|1|port", "metric", says="metric"),
    at("RoleBinding", "subjects|0|name", "nobody", says="nobody"),
    at("RoleBinding", "roleRef|name", "nothing", says="nothing"),
    at("Milvus", "spec|dependencies|storage|secretRef", "bucket", says="accesskey"),
    at("LocalQueue", "spec|clusterQueue", "jobs", says="jobs"),
    at("ClusterQueue", "spec|resourceGroups|0|flavors|0|name", "gpus", says="gpus"),
    at("RayJob", "metadata|labels|kueue.x-k8s.io/queue-name", "jobs", "production/jobs", says="LocalQueue"),
    at("RayJob", "metadata|labels|kueue.x-k8s.io/priority-class", "high", "production/jobs", says="high"),
    at("RayJob/plait-train", "spec|entrypoint", ("lora.yaml", "laura.yaml"), "dev/jobs", says="laura"),
    at("RayJob/plait-train", "spec|entrypoint", ("data.train", "data.trian"), "dev/jobs", says="trian"),
    at("RayJob/plait-train", "spec|entrypoint", ("jobs.train", "jobs.tune"), "dev/jobs", says="jobs.tune"),
    at("RayJob/plait-compare", "spec|entrypoint", ("svc:8000", "svc:80"), "dev/jobs", says="port 80"),
    at(
        "RayJob/plait-train", f"{JOB_WORKER}|volumes|1|persistentVolumeClaim|claimName", "jobs", "dev/jobs", says="jobs"
    ),
    at("RayJob/plait-train", f"{JOB_WORKER}|volumes|0|configMap|name", "recipes", "dev/jobs", says="recipes"),
]


@pytest.mark.parametrize(("overlay", "spoil", "says"), MUTATIONS)
def test_a_mutation_is_seen(
    overlay: str, spoil: Spoil, says: str, kubectl: Path, crds: schemas.CustomResources
) -> None:
    before, objects = build(kubectl, overlay), build(kubectl, overlay)
    spoil(objects)
    (spoiled,) = (o for o in objects if o not in before)
    platform = build(kubectl, JOBS[overlay]) if overlay in JOBS else []
    found = crds.problems(spoiled) if schemas.is_custom(spoiled) else schemas.core_problems(spoiled)
    # Further checks look at what fields hold, and may not be asked about fields of the wrong kind.
    found = found or [
        *kuberay.problems(objects, gates(overlay)),
        *references.problems(objects + platform, secrets(kubectl)),
        *serving.problems(objects),
    ]
    assert any(says in problem for problem in found), found
