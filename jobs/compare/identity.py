"""What the answers of a comparison follow from, so that it can be told whether another was of the same."""

from collections.abc import Mapping
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path

from plait.recipes import CompareRecipe

_PACKAGES = ("plait", "ray", "torch", "transformers", "peft")


def identity_of(recipe: CompareRecipe, documents: str, weights: Mapping[str, str]) -> dict[str, str]:
    """By what it is: versions of packages, hashes of data, documents and weights, seeds.

    Args:
        documents: the fingerprint of what the index held.
        weights: by tuned arm and seed, the version that answered.
    """
    data = Path(recipe.data)
    hashed = {"eval set": _hash(data.read_bytes())} if data.is_file() else {}
    return {
        **{name: version(name) for name in _PACKAGES},
        "base model": recipe.model,
        "embedding model": recipe.ingest.embedding.model,
        "recipe": _hash(recipe.model_dump_json().encode()),
        **hashed,
        "documents": documents[:16],
        **weights,
        "seed of answers": str(recipe.seed if recipe.temperature else "none: the likeliest answer"),
    }


def _hash(data: bytes) -> str:
    return sha256(data).hexdigest()[:16]
