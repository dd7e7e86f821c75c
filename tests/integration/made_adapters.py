"""LoRA adapters of a tiny model, made and not trained: their weights are far from zero, so each answers differently."""

from pathlib import Path

import torch

from plait.adapters.metadata import AdapterMetadata
from plait.adapters.registry import Registry
from plait.adapters.tracking import start_run, tracking_client
from plait.models.chat import FORMATS
from plait.models.fingerprint import model_sha256
from plait.models.load import load_causal_lm


def save_adapter(base: Path, folder: Path, seed: int, rank: int = 4) -> Path:
    """As PEFT itself writes it."""
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(seed)
    config = LoraConfig(r=rank, target_modules="all-linear", init_lora_weights=False)
    get_peft_model(load_causal_lm(base, "float32"), config).save_pretrained(folder)
    return folder


def register_adapter(name: str, base: Path, folder: Path, seed: int, base_sha256: str | None = None) -> Path:
    """A new version in the registry, made in `folder`. `base_sha256`: what it says of its base model; None: the truth.

    Returns:
        Where the registry keeps it.
    """
    save_adapter(base, folder, seed)
    AdapterMetadata(
        base_model=str(base),
        base_sha256=base_sha256 or model_sha256(base),
        dataset_sha256="0",
        method="lora",
        recipe={},
        chat_format=FORMATS["plain"],
        run_id="r",
        run_key="k",
        plait_version="0",
        created_at="2026-01-01T00:00:00+00:00",
    ).write(folder)
    return Registry().register(name, folder, start_run(tracking_client(), f"{name}-{seed}", {})).path
