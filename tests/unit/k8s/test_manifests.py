"""k8s/ without a cluster: every overlay builds, is what its schemas say, and names nothing that does not exist."""

import json
from pathlib import Path

import pytest
from manifests import kuberay, of_kind, pods, references, schemas, serving
from manifests.build import OVERLAYS, PLATFORMS, ROOT, build, gates, secrets, whole

from plait.jobs.train import interrupt


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_objects_are_what_their_schemas_say(overlay: str, kubectl: Path, crds: schemas.CustomResources) -> None:
    objects = build(kubectl, overlay)
    assert [p for o in objects if schemas.is_custom(o) for p in crds.problems(o)] == []


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_objects_are_what_kubernetes_takes(overlay: str, kubectl: Path) -> None:
    objects = build(kubectl, overlay)
    assert len(objects) > 3
    assert [p for o in objects if not schemas.is_custom(o) for p in schemas.core_problems(o)] == []


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_what_is_named_exists(overlay: str, kubectl: Path) -> None:
    assert references.problems(whole(kubectl, overlay), secrets(kubectl)) == []


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_kuberay_takes_it(overlay: str, kubectl: Path) -> None:
    assert kuberay.problems(build(kubectl, overlay), gates(overlay)) == []


@pytest.mark.parametrize("overlay", PLATFORMS)
def test_the_served_application_can_be_built_and_placed(overlay: str, kubectl: Path) -> None:
    objects = build(kubectl, overlay)
    assert len(of_kind(objects, "RayService")) == 1
    assert serving.problems(objects) == []


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_containers_are_confined(overlay: str, kubectl: Path) -> None:
    for pod in pods.pods(build(kubectl, overlay)):
        if not pod.spec:
            continue
        assert pod.spec["securityContext"]["runAsNonRoot"], pod.owner
        assert pod.spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, pod.owner
        uses_api = pod.spec["serviceAccountName"] == "plait-ray-head"
        assert pod.spec["automountServiceAccountToken"] is uses_api, pod.owner
        for container in pod.containers:
            context = container["securityContext"]
            assert context["readOnlyRootFilesystem"], (pod.owner, container["name"])
            assert not context["allowPrivilegeEscalation"], (pod.owner, container["name"])
            assert context["capabilities"] == {"drop": ["ALL"]}, (pod.owner, container["name"])
            for kind in ("requests", "limits"):
                assert {"cpu", "memory"} <= set(container["resources"][kind]), (pod.owner, container["name"])


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_prometheus_finds_the_ports_of_every_ray_pod(overlay: str, kubectl: Path) -> None:
    found = [p for p in pods.pods(build(kubectl, overlay)) if "ray.io/group" in p.labels]
    assert found
    for pod in found:
        assert pod.ports().items() >= {"metrics": 8080, "plait-metrics": 9464}.items(), pod.owner
        assert pod.labels["app.kubernetes.io/name"] == "plait"
        assert pod.labels["app.kubernetes.io/component"] in ("serve", "train", "ingest", "compare")
        # In namespaces of their own, the exporter would take every writer for dead and drop its gauges.
        assert pod.spec["shareProcessNamespace"]


def test_no_secret_is_committed(kubectl: Path) -> None:
    assert not [o for overlay in OVERLAYS for o in build(kubectl, overlay) if o["kind"] == "Secret"]


def test_every_recipe_and_serve_config_is_handed_on(kubectl: Path) -> None:
    (recipes,) = of_kind(build(kubectl, "dev/jobs"), "ConfigMap")
    assert recipes["data"] == {f.name: f.read_text(encoding="utf-8") for f in (ROOT / "jobs/recipes").glob("*.yaml")}
    for overlay, name in (("dev", "cpu"), ("gpu", "gpu"), ("production", "production")):
        (service,) = of_kind(build(kubectl, overlay), "RayService")
        assert service["spec"]["serveConfigV2"] == (ROOT / f"serve/config/{name}.yaml").read_text(encoding="utf-8")


def test_only_overlays_that_say_so_need_a_feature_gate(kubectl: Path) -> None:
    assert {o for o in OVERLAYS if gates(o)} == {"nightly-ingest", "incremental-upgrade"}
    for overlay in ("nightly-ingest", "incremental-upgrade"):
        assert "gate" in json.dumps(kuberay.problems(build(kubectl, overlay)))


def test_a_job_that_is_stopped_has_its_time_within_the_grace_period_of_its_pods(kubectl: Path) -> None:
    found = [p for p in pods.pods(build(kubectl, "dev/jobs")) if "ray.io/group" in p.labels]
    assert found
    for pod in found:
        (ray,) = [c for c in pod.containers if c["name"].startswith("ray-")]
        values = {each["name"]: float(each.get("value", 0)) for each in ray["env"] if each["name"].startswith("RAY_")}
        for name in ("RAY_JOB_STOP_WAIT_TIME_S", "RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S"):
            assert interrupt.TERMINATED_WITHIN_S < values[name] < pod.spec["terminationGracePeriodSeconds"], pod.owner
