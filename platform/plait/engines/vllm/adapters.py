"""What vLLM may be given as an adapter: a LoRA of a rank that it has room for, with weights that are finite.

In: an adapter's folder. Out: its rank, or the error. vLLM reads the folder again, in a process of its own; nothing
here needs vLLM.
"""

import re
from pathlib import Path

import torch
from torch import Tensor

from plait.adapters.methods.saved_config import read_adapter_config
from plait.engines.adapter_tensors import check_finite, read_tensors
from plait.engines.admission import cannot_be_loaded
from plait.errors import InvalidInput

_MATCHED_AT_ONCE = re.compile(r"[^*+?{]*")
"""A pattern without repetitions, as PEFT's names of modules are: vLLM's process uses expressions that backtrack."""
_LARGEST = 1000.0
"""The length of a row of B, scaled, or of a column of A: below 1 in trained adapters, some tens where they hold a
model's own directions. What overflows becomes NaN, and 0 times NaN is NaN in sums that others share. Updates of up to
1000² stay below 1e34 through a feed-forward layer of 14,336 units on normed inputs; bfloat16 ends at 3e38."""


def check_lora(key: str, folder: Path, dtype: torch.dtype, max_rank: int) -> int:
    """The highest rank of a LoRA adapter's folder; reads all of its weights.

    Raises:
        InvalidInput: when vLLM does not serve its method or has no room for its rank, for patterns of ranks and
            scalings that repeat something, and for weights that are not finite in `dtype`, or not once they are scaled,
            or so large that what is computed with them may overflow.
    """
    config = read_adapter_config(folder)
    lora = config.plain_lora
    if lora is None:
        raise InvalidInput(
            f"The adapter '{key}' is no LoRA ({config.kind}), all that vLLM serves.",
            "The engine 'torch' serves every method: llm.engine=torch.",
        )
    if config.highest_rank > max_rank:
        raise InvalidInput(
            f"The adapter '{key}' has rank {config.highest_rank}, above the {max_rank} that vLLM has room for.",
            "Raise llm.max_lora_rank.",
        )
    for pattern in (*(lora.rank_pattern or ()), *(lora.alpha_pattern or ())):
        if not _MATCHED_AT_ONCE.fullmatch(pattern):
            raise InvalidInput(
                f"The adapter '{key}' has the pattern '{pattern[:80]}', which vLLM matches without an end.",
                "Write the names of the modules, or serve it by llm.engine=torch.",
            )
    try:
        for name, weight in read_tensors(folder / "adapter_model.safetensors", dtype):
            if ".lora_A." in name:
                _check_lengths(weight, 0, name)
            if ".lora_B." in name:
                module = name.partition(".lora_B.")[0].removeprefix("base_model.model.")
                scaling = lora.scaling(lora.rank(module), lora.alpha(module))
                scaled = f"{name} (scaled)"
                _check_lengths(check_finite(weight * scaling, scaled), -1, scaled)
    except ValueError as error:
        raise cannot_be_loaded(key, error) from error
    return config.highest_rank


def _check_lengths(weight: Tensor, over: int, name: str) -> None:
    if (torch.linalg.vector_norm(weight, dim=over, dtype=torch.float32) > _LARGEST).any():
        raise ValueError(
            f"its weight '{name}' has rows or columns longer than {_LARGEST:g}, with which sums may overflow"
        )
