"""A mend of vLLM's LoRA on CPUs, made in vLLM's worker process, which imports this module by its name.

Rows without an adapter have the index -1 there, which in a tensor is the last one: once every place for adapters is
taken, answers of the base model had the weights of the adapter in the last place. On GPUs its kernels leave them out.
"""

from typing import Any

from vllm.lora.ops.torch_ops import lora_ops
from vllm.lora.punica_wrapper import punica_cpu

_shrink = lora_ops.bgmv_shrink


def shrink(inputs: Any, weights: Any, output: Any, indices: Any, scaling: float = 1.0) -> None:
    """vLLM's first product of a LoRA, row by row; 0 for rows without an adapter."""
    _shrink(inputs, weights, output, indices, scaling)
    output.masked_fill_((indices < 0).unsqueeze(1), 0)


lora_ops.bgmv_shrink = punica_cpu.bgmv_shrink = shrink


class WorkerExtension:
    """What vLLM adds to its worker: nothing; it imports this module for it."""
