"""What checks the manifests of k8s/ without a cluster. A check takes objects and gives back problems, as sentences."""

from typing import Any

Object = dict[str, Any]


def named(object_: Object) -> str:
    """`RayService plait`: how a problem names its object."""
    return f"{object_['kind']} {object_['metadata']['name']}"


def of_kind(objects: list[Object], *kinds: str) -> list[Object]:
    return [o for o in objects if o["kind"] in kinds]
