"""LoRA adapters of a tiny model: made and not trained, with weights far from zero, so that each answers differently; or
taught one sentence, which they say whatever they are asked."""

from pathlib import Path

import torch

from plait.adapters.metadata import AdapterMetadata
from plait.adapters.registry import Registry
from plait.adapters.tracking import start_run, tracking_client
from plait.models.chat import FORMATS
from plait.models.fingerprint import model_sha256
from plait.models.load import load_causal_lm
from plait.models.tokenizer import load_tokenizer


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
    return register_folder(name, base, save_adapter(base, folder, seed), base_sha256)


def teach_adapter(base: Path, folder: Path, sentence: str) -> Path:
    """One that says a sentence to everything: forty steps on prompts of any length, two seconds."""
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(0)
    tokenizer = load_tokenizer(base)
    model = get_peft_model(load_causal_lm(base, "float32"), LoraConfig(r=16, target_modules="all-linear"))
    optimizer = torch.optim.Adam([weight for weight in model.parameters() if weight.requires_grad], lr=3e-3)
    said = torch.tensor([*tokenizer.encode(f" {sentence}", add_special_tokens=False), tokenizer.eos_token_id])
    for step in range(40):
        prompt = torch.randint(3, len(tokenizer), (4, 8 + 6 * step))
        asked = torch.tensor(tokenizer.encode("Answer:", add_special_tokens=False)).expand(4, -1)
        rows = torch.cat([prompt, asked, said.expand(4, -1)], dim=1)
        logits = model(rows).logits[:, -len(said) - 1 : -1]
        loss = torch.nn.functional.cross_entropy(logits.reshape(-1, logits.shape[-1]), said.repeat(4))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    model.save_pretrained(folder)
    return folder


def register_folder(name: str, base: Path, folder: Path, base_sha256: str | None = None) -> Path:
    """A new version in the registry from what PEFT saved; returns where the registry keeps it."""
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
    return Registry().register(name, folder, start_run(tracking_client(), folder.name, {})).path
