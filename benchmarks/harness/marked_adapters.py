"""A tiny model, and adapters of several methods on it, each trained to answer any of a few prompts with its own marker.

What answered is then readable from the answer alone. All are trained until the right token leads by a wide margin at
every position: no rounding, and so no composition of a batch, changes a text.
"""

from copy import deepcopy
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PrefixTuningConfig, get_peft_model
from torch import Tensor, nn

from harness.tiny_model import make_model
from plait.adapters.metadata import AdapterMetadata
from plait.adapters.methods.bottleneck.config import SavedBottleneck
from plait.adapters.methods.bottleneck.model import BottleneckModel
from plait.models.chat import FORMATS, chat_format_for
from plait.models.fingerprint import model_sha256
from plait.models.load import load_causal_lm
from plait.models.message import Message

PROMPTS = ("who are you?", "which version answers?", "say your name", "hello")
_MARGIN = 1.5
"""Logits by which the right token leads; bfloat16 rounds logits of this size to a twentieth at most."""
_MAX_STEPS = 1000
_IGNORED = -100
METHODS: dict[str, Any] = {
    **{f"LoRA of rank {r}": LoraConfig(r=r, lora_alpha=2 * r, target_modules="all-linear") for r in (2, 4, 8, 16)},
    "DoRA": LoraConfig(r=4, lora_alpha=8, target_modules="all-linear", use_dora=True),
    "bottleneck": SavedBottleneck(bottleneck_size=16, non_linearity="gelu"),
    "prefix": PrefixTuningConfig(num_virtual_tokens=16, task_type="CAUSAL_LM"),
}


def marker(number: int) -> str:
    """What the weights of this number answer.

    >>> marker(7)
    'marker-07 7902699be42c8a8e'
    """
    return f"marker-{number:02d} {sha256(str(number).encode()).hexdigest()[:16]}"


def make_marked_model(folder: Path) -> Path:
    """A base model that answers with marker 0."""
    make_model(folder)
    model = load_causal_lm(folder, "float32")
    with torch.no_grad():
        model.model.norm.weight.fill_(7)  # logits of random weights lie within ±1: too near each other
    _train(model, folder, 0, lr=3e-3)
    model.save_pretrained(folder)
    return folder


def make_marked_adapter(base: Path, folder: Path, number: int, method: str) -> Path:
    """An adapter on `base` that answers with the marker of `number`."""
    torch.manual_seed(number)
    model, config = load_causal_lm(base, "float32"), deepcopy(METHODS[method])
    is_bottleneck = isinstance(config, SavedBottleneck)
    adapted = BottleneckModel(model, config) if is_bottleneck else get_peft_model(model, config)
    _train(adapted, base, number, lr=3e-2 if method == "prefix" else 1e-2)
    adapted.save_pretrained(folder)
    return folder


def describe(base: Path, folder: Path) -> None:
    """Make a plain folder one that the registry takes."""
    AdapterMetadata(
        base_model=str(base),
        base_sha256=model_sha256(base),
        dataset_sha256="0",
        method="lora",
        recipe={},
        chat_format=FORMATS["plain"],
        run_id="r",
        run_key="k",
        plait_version="0",
        created_at="2026-01-01T00:00:00+00:00",
    ).write(folder)


def _train(model: Any, base: Path, number: int, lr: float) -> None:
    inputs, mask, labels = _rows(base, marker(number))
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=lr, weight_decay=0)
    for step in range(_MAX_STEPS):
        logits = model(input_ids=inputs, attention_mask=mask).logits[:, -labels.shape[1] :]
        if step % 10 == 0 and _margin(logits, labels) > _MARGIN:
            return
        loss = nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten(), ignore_index=_IGNORED)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_([p for p in model.parameters() if p.requires_grad], 1.0)
        optimizer.step()
    raise SystemExit(f"Marker {number} was not learned in {_MAX_STEPS} steps.")


def _rows(base: Path, answer: str) -> tuple[Tensor, Tensor, Tensor]:
    """Every prompt with the answer, padded at the right: ids, mask and labels, [prompts, tokens] each."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(base)
    chat_format = chat_format_for(tokenizer)
    inputs, labels = [], []
    for prompt in PROMPTS:
        asked = tokenizer(chat_format.render([Message("user", prompt)])).input_ids
        said = [*tokenizer(f" {answer}").input_ids, tokenizer.eos_token_id]
        inputs.append(torch.tensor(asked + said))
        labels.append(torch.tensor([_IGNORED] * len(asked) + said))
    ids = nn.utils.rnn.pad_sequence(inputs, batch_first=True, padding_value=tokenizer.pad_token_id)
    mask = nn.utils.rnn.pad_sequence([torch.ones_like(row) for row in inputs], batch_first=True)
    return ids, mask, nn.utils.rnn.pad_sequence(labels, batch_first=True, padding_value=_IGNORED)


def _margin(logits: Tensor, labels: Tensor) -> float:
    """By how much the right token leads at least; negative where another one does."""
    logits, labels = logits[:, :-1], labels[:, 1:]
    is_answer = labels != _IGNORED
    right = logits.gather(-1, labels.clamp(min=0).unsqueeze(-1))
    others = logits.scatter(-1, labels.clamp(min=0).unsqueeze(-1), float("-inf")).max(-1, keepdim=True).values
    return float((right - others)[is_answer].min().detach())
