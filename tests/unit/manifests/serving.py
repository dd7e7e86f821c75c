"""The Serve configuration inside a RayService: by Ray Serve's own schema, by Plait's builder, and beside its pods."""

import functools
import json
from collections.abc import Iterator
from importlib import import_module
from typing import Any

import yaml
from pydantic import ValidationError
from ray.serve.schema import DeploymentSchema, ServeApplicationSchema, ServeDeploySchema

from manifests import Object, named, of_kind
from plait.errors import PlaitError


def problems(objects: list[Object]) -> list[str]:
    return [f"{named(s)}: {p}" for s in of_kind(objects, "RayService") for p in _problems(s["spec"])]


def _problems(spec: dict[str, Any]) -> Iterator[str]:
    values = yaml.safe_load(spec["serveConfigV2"])
    yield from _unknown_fields(values)
    try:
        config = ServeDeploySchema.model_validate(values)
    except ValidationError as error:
        yield f"serveConfigV2: {error.errors()[0]['loc']} {error.errors()[0]['msg']}"
        return
    groups = spec["rayClusterConfig"]["workerGroupSpecs"]
    for group in groups:
        ports = {p["name"]: p["containerPort"] for p in group["template"]["spec"]["containers"][0]["ports"]}
        if ports.get("serve") != config.http_options.port:
            yield f"group {group['groupName']} has no port serve that is Serve's {config.http_options.port}"
    if config.http_options.host != "0.0.0.0":
        yield "Serve listens on an address that no other pod reaches"
    for application in config.applications:
        module, _, attribute = application.import_path.partition(":")
        try:
            built = _built(module, attribute, json.dumps(application.args))
        except (ImportError, AttributeError):
            yield f"there is no {application.import_path}"
            continue
        except PlaitError as error:
            yield str(error)
            continue
        deployments = _deployments(built)
        for override in application.deployments:
            if override.name not in deployments:
                yield f"the application has no deployment {override.name}"
        yield from _placement_problems(application, deployments, groups)


@functools.cache
def _built(module: str, attribute: str, arguments: str) -> Any:
    """The application; to build it takes longer than all checks, and most tests change something else."""
    return getattr(import_module(module), attribute)(json.loads(arguments))


def _unknown_fields(values: dict[str, Any]) -> Iterator[str]:
    """Fields that Serve's schema does not name, and takes without a word."""
    applications = values.get("applications", [])
    for kind, parts in (
        (ServeDeploySchema, [values]),
        (ServeApplicationSchema, applications),
        (DeploymentSchema, [d for a in applications for d in a.get("deployments", [])]),
    ):
        for name in sorted({name for part in parts for name in part} - set(kind.model_fields)):
            yield f"Serve knows no {name} in {kind.__name__}"


def _placement_problems(application: Any, deployments: dict[str, Any], groups: list[dict[str, Any]]) -> Iterator[str]:
    """Whether there is a group of pods for each deployment, with the labels, GPUs and CPUs that it asks for."""
    overrides = {o.name: o for o in application.deployments}
    for name, deployment in deployments.items():
        options = dict(deployment.ray_actor_options or {})
        override = overrides.get(name)
        if override is not None and "ray_actor_options" in override.model_fields_set:
            options = override.ray_actor_options.model_dump(exclude_unset=True)
        wanted = options.get("label_selector") or {}
        fitting = [g for g in groups if all((g.get("labels") or {}).get(k) == v for k, v in wanted.items())]
        limits = [g["template"]["spec"]["containers"][0]["resources"]["limits"] for g in fitting]
        if not any(
            int(limit.get("nvidia.com/gpu", 0)) >= options.get("num_gpus", 0)
            and _cpus(limit["cpu"]) >= options.get("num_cpus", 1)
            for limit in limits
        ):
            yield f"no group of pods has what a replica of {name} asks for ({options})"


def _cpus(quantity: str | int) -> float:
    text = str(quantity)
    return float(text.removesuffix("m")) / 1000 if text.endswith("m") else float(text)


def _deployments(application: Any) -> dict[str, Any]:
    """Deployment by name of a bound application, its handles followed."""
    bound = application._bound_deployment
    found = {bound.name: bound}
    for argument in (*bound.init_args, *bound.init_kwargs.values()):
        if hasattr(argument, "_bound_deployment"):
            found |= _deployments(argument)
    return found
