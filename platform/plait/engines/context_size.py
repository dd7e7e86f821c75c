"""How long a context an engine has, and how many tokens' keys and values it keeps, where the settings leave it open.

In: what the model was made for, the bytes that a token takes, the memory that there is. Out: both numbers. A cache is
shared by all requests, block by block, so it need not hold a full batch of the longest of them.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

_CONVERSATION_TOKENS = 4096
"""Of a usual request; with so many for each of a batch, few wait for a free block."""
_SHARE_OF_MACHINE = 1 / 4  # beside the weights, other deployments, a store, and what the system caches of files
_CGROUPS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


@dataclass(frozen=True)
class ContextSize:
    """`context_tokens`: of prompt and answer together, at most; `cache_tokens`: of all requests together."""

    context_tokens: int
    cache_tokens: int


def context_size(
    model_tokens: int,
    max_batch_size: int,
    bearable_tokens: int,
    max_context_tokens: int | None = None,
    kv_cache_tokens: int | None = None,
) -> ContextSize:
    """What the settings say; where they leave it open, as long a context as the model was made for and memory bears.

    Args:
        model_tokens: the longest text that the model was made for.
        bearable_tokens: whose keys and values memory bears.
        max_context_tokens, kv_cache_tokens: settings; None: open.
    """
    context = min(max_context_tokens or model_tokens, model_tokens)
    full_batch = max_batch_size * context
    if kv_cache_tokens is not None:
        cache = kv_cache_tokens
    elif max_context_tokens is not None:
        cache = full_batch
    else:
        usual = max(context, max_batch_size * _CONVERSATION_TOKENS)
        least = min(context, _CONVERSATION_TOKENS)
        cache = min(full_batch, usual, max(bearable_tokens, least))
    return ContextSize(min(context, cache) if max_context_tokens is None else context, cache)


def bytes_of_a_token(config: Any, width: int) -> int:
    """Of the keys and values of one token in all layers of a model of transformers; `width`: bytes of a number."""
    head = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    return int(2 * config.num_hidden_layers * config.num_key_value_heads * head * width)


def bearable_bytes_of_machine() -> int:
    """Memory that keys and values may take of this machine, or of the container that this process is in."""
    limits = [file.read_text().strip() for file in map(Path, _CGROUPS) if file.is_file()]
    memory = min([psutil.virtual_memory().total, *(int(limit) for limit in limits if limit != "max")])
    return int(memory * _SHARE_OF_MACHINE)
