"""SHA-256 of what must not change unnoticed: a base model's weights, a data file."""

import hashlib
from pathlib import Path


def file_sha256(path: Path) -> str:
    """Hex digest of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def model_sha256(folder: Path) -> str:
    """Hex digest over the weights of a model folder: every *.safetensors, by name."""
    digest = hashlib.sha256()
    for weights in sorted(folder.glob("*.safetensors")):
        digest.update(f"{weights.name}:{file_sha256(weights)}\n".encode())
    return digest.hexdigest()
