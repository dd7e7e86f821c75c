"""How fast a run is against what its hardware could do.

Counts the floating-point operations of a step as is usual (Kaplan et al. 2020, arXiv:2001.08361): two for every weight
and token forwards, two for the gradient that is passed on, two more where the weight itself is trained. Attention,
norms and element-wise work are left out; so are positions that the head skips.
"""

import time

import torch

from plait.jobs.train.trainable import Trainable


def flops_by_token(model: Trainable) -> tuple[float, float]:
    """Operations of one token in the body, and of one labelled token in the head, forwards and backwards."""
    config = model.causal_lm.config
    is_full = model.adapter is None
    # A quantised layer holds its weights packed; its shape says how many they are.
    body = sum(
        module.in_features * module.out_features
        for module in model.causal_lm.base_model.modules()
        if isinstance(module, torch.nn.Linear)
    )
    factor = 6.0 if is_full else 4.0
    return factor * body, factor * config.vocab_size * config.hidden_size


def measured_peak_flops(device: torch.device, dtype: torch.dtype) -> float:
    """Operations a second of a large matrix product here and now: what is within reach, not what a data sheet says."""
    size = 4096 if device.type == "cuda" else 1024
    left, right = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
    best_s = float("inf")
    for _ in range(10):
        started = time.perf_counter()
        left @ right
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        best_s = min(best_s, time.perf_counter() - started)
    return 2 * size**3 / best_s


def peak_memory_bytes(device: torch.device) -> int:
    """Most memory that this process has held: of its GPU, or resident in the host's memory."""
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
