"""LoRA adapters made on the spot, in a folder each: as PEFT saves them, with the lineage that Plait keeps.

Their weights are random and small: enough to change an answer, not to destroy it.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, get_peft_model

from plait import __version__
from plait.adapters.metadata import AdapterMetadata
from plait.adapters.registry import Registry
from plait.adapters.tracking import start_run, tracking_client
from plait.models.chat import FORMATS
from plait.models.fingerprint import model_sha256
from plait.models.load import load_causal_lm
from plait.models.source import resolve_model

_SMALL = 0.002
"""Standard deviation of the weights that PEFT leaves at zero."""


def make_adapters(model: str, names: Sequence[str], rank: int, folder: Path) -> dict[str, Path]:
    """Adapters of one rank on every linear layer; folders by name."""
    base = resolve_model(model)
    config = LoraConfig(r=rank, lora_alpha=2 * rank, target_modules="all-linear", task_type="CAUSAL_LM")
    adapted: Any = get_peft_model(load_causal_lm(base), config)
    metadata = AdapterMetadata(
        base_model=model,
        base_sha256=model_sha256(base),
        dataset_sha256="0",
        recipe={},
        method="lora",
        chat_format=FORMATS["plain"],
        run_id="benchmark",
        run_key="benchmark",
        plait_version=__version__,
        created_at="2026-01-01T00:00:00+00:00",
    )
    folders = {name: folder / name for name in names}
    for seed, path in enumerate(folders.values()):
        torch.manual_seed(1000 * rank + seed)
        for parameter_name, weight in adapted.named_parameters():
            if "lora_B" in parameter_name:
                torch.nn.init.normal_(weight, std=_SMALL)
            elif "lora_A" in parameter_name:
                torch.nn.init.kaiming_uniform_(weight, a=5**0.5)
        adapted.save_pretrained(path)
        metadata.write(path)
    return folders


def register(folders: dict[str, Path]) -> None:
    """Give each adapter a version in the registry of this home, with a run of its own."""
    client, registry = tracking_client(), Registry()
    for name, folder in folders.items():
        registry.register(name, folder, start_run(client, name, {}))


def register_many(folder: Path, names: Sequence[str]) -> None:
    """Give many names a version each that all mean one folder."""
    client = tracking_client()
    run = start_run(client, "many", {})
    for name in names:
        client.create_registered_model(name)
        client.create_model_version(name, folder.as_uri(), run)
