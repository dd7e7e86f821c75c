"""What a process needs beside the tensors that can be counted: measured, or assumed with the reason, all in one place.

The CPU figures are those of Gemma 3 270M that bring planned and measured peaks together in docs/benchmarks.md
(`python benchmarks/memory_plan.py`; torch 2.13, transformers 5.23, peft 0.21, Linux with glibc).
"""

CPU_PROCESS_BYTES = 700e6
"""A worker before it holds weights, and what its libraries keep: Python, torch, transformers, DeepSpeed, Ray."""

CPU_PEFT_BYTES = 72e6
"""What PEFT and bitsandbytes add to it where an adapter is trained."""

CPU_HEAP_FACTOR = 1.2
"""Heap a byte of activations takes: glibc keeps what it frees below 32 MiB, and the holes between."""

CUDA_PROCESS_BYTES = 1.343e9
"""A process on a GPU before its first tensor: the CUDA context and its kernels. The documentation of transformers
measures 1,343 MB (Model training anatomy); with CUDA 12's lazy loading it is less. Not measured by us."""

FLOPS_SHARE_GPU = 0.35
"""Share of a GPU's peak that training reaches, an assumption: Korthikanti et al. 2022 (arXiv:2205.05198) reach 0.42 to
0.54 on A100s with far larger models and batches. What a run does reach is in its progress record (`flops_share`)."""

FLOPS_SHARE_CPU = 0.65
"""Of the rate of a large matrix product on the same cores: 282 tokens/s x 1.07 GFLOP of 466 GFLOP/s (LoRA on Gemma 3
270M, all positions labelled, one thread). Measured."""

LOSS_CHUNK_BYTES = 64 * 2**20
"""Logits that exist at a time where torch computes the loss: `_CHUNK_BYTES` of jobs/train/loss.py."""

# DeepSpeed's defaults, in elements (deepspeed/runtime/zero/config.py), and what its step allocates.

ZERO_BUCKET_ELEMENTS = 500_000_000
"""reduce_bucket_size: gradients are collected in one buffer of that size before they are exchanged."""

ZERO_LIVE_ELEMENTS = 1_000_000_000
"""stage3_max_live_parameters: weights that ZeRO-3 keeps gathered at most."""

ZERO_SUB_GROUP_ELEMENTS = 1_000_000_000
"""sub_group_size: ZeRO-3 steps the optimiser on so many elements at a time."""
