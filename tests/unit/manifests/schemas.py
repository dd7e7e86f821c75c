"""Every object against its schema, unknown fields refused: Kubernetes' own, and those of custom resources."""

import json
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import yaml

from manifests import Object, named

KUBERNETES = "1.35"
_Schema = dict[str, Any]


def is_custom(object_: Object) -> bool:
    """Whether a definition in the cluster, and not Kubernetes itself, says what the object may hold."""
    group = object_["apiVersion"].partition("/")[0]
    return ("." in group and not group.endswith(".k8s.io")) or group == "kueue.x-k8s.io"


class CustomResources:
    """The schemas of a folder of CustomResourceDefinitions, closed."""

    def __init__(self, folder: Path) -> None:
        self._validators: dict[tuple[str, str], jsonschema.Draft202012Validator] = {}
        for file in sorted(folder.glob("*.yaml")):
            spec = _definition(file)["spec"]
            for version in spec["versions"]:
                key = f"{spec['group']}/{version['name']}", spec["names"]["kind"]
                schema = closed(version["schema"]["openAPIV3Schema"], is_object=True)
                self._validators[key] = jsonschema.Draft202012Validator(schema)

    def problems(self, object_: Object) -> list[str]:
        validator = self._validators.get((object_["apiVersion"], object_["kind"]))
        if validator is None:
            return [f"{named(object_)}: there is no definition of {object_['apiVersion']} {object_['kind']}"]
        return [f"{named(object_)}: {_told(error)}" for error in validator.iter_errors(object_)]


def core_problems(object_: Object) -> list[str]:
    """What Kubernetes itself would refuse."""
    return list(_core_problems(json.dumps(object_, sort_keys=True)))


@cache
def _core_problems(text: str) -> tuple[str, ...]:
    object_ = json.loads(text)
    try:
        kubernetes_validate.validate(object_, KUBERNETES, strict=True)
    except kubernetes_validate.ValidationError as error:
        return (f"{named(object_)}: {_told(error)}",)
    except kubernetes_validate.SchemaNotFoundError as error:
        return (f"{named(object_)}: {error.message}",)
    return ()


def closed(schema: _Schema, is_object: bool = False) -> _Schema:
    """A structural schema as JSON Schema that takes no field it does not name.

    `is_object`: it describes a whole object, whose apiVersion, kind and metadata Kubernetes itself knows. Rules in
    CEL (x-kubernetes-validations) are not evaluated.
    """
    result = {k: v for k, v in schema.items() if k in _KEPT}
    if schema.get("x-kubernetes-int-or-string"):
        result = {"type": ["integer", "string"], **{k: v for k, v in result.items() if k in ("pattern", "enum")}}
    elif "format" in result and result["format"] not in ("int32", "int64"):
        del result["format"]
    if "items" in schema:
        result["items"] = closed(schema["items"])
    keeps_unknown = schema.get("x-kubernetes-preserve-unknown-fields", False)
    if "properties" in schema or is_object or schema.get("x-kubernetes-embedded-resource"):
        properties = {name: _closed_property(name, s) for name, s in schema.get("properties", {}).items()}
        if is_object or schema.get("x-kubernetes-embedded-resource"):
            properties |= {"apiVersion": {"type": "string"}, "kind": {"type": "string"}, "metadata": _METADATA}
        result["properties"] = properties
        if not keeps_unknown:
            result["additionalProperties"] = False
    elif isinstance(schema.get("additionalProperties"), dict):
        result["additionalProperties"] = closed(schema["additionalProperties"])
    elif schema.get("type") == "object" and not keeps_unknown and "additionalProperties" not in schema:
        result["additionalProperties"] = False
    if "required" in schema:
        # A server fills in defaults before it looks for what is missing.
        result["required"] = [n for n in schema["required"] if "default" not in schema["properties"].get(n, {})]
    if schema.get("nullable") and "type" in result:
        result["type"] = [*([result["type"]] if isinstance(result["type"], str) else result["type"]), "null"]
    return result


def _closed_property(name: str, schema: _Schema) -> _Schema:
    # Kubernetes knows the metadata of pod templates; definitions do not spell it out.
    return _METADATA if name == "metadata" and "properties" not in schema else closed(schema)


_KEPT = {
    "type", "enum", "pattern", "minimum", "maximum", "minLength", "maxLength", "minItems", "maxItems", "minProperties",
    "maxProperties", "format", "additionalProperties", "uniqueItems", "multipleOf",
}  # fmt: skip
_STRINGS = {"type": "object", "additionalProperties": {"type": "string"}}
_METADATA: _Schema = {
    "type": "object",
    "properties": {
        "name": {"type": "string"},
        "namespace": {"type": "string"},
        "labels": _STRINGS,
        "annotations": _STRINGS,
        "finalizers": {"type": "array", "items": {"type": "string"}},
        "creationTimestamp": {},
    },
    "additionalProperties": False,
}


def _definition(file: Path) -> Any:
    return yaml.load(file.read_text(encoding="utf-8"), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))


def _told(error: jsonschema.ValidationError) -> str:
    return f"{'.'.join(map(str, error.path)) or 'the object'}: {error.message[:300]}"
