"""Tables of the rotations by which a model tells positions apart (Su et al. 2021, RoPE, arXiv:2104.09864).

In: a rotary embedding of transformers, positions. Out: their cosines and sines. On CPUs tables are as long as the
longest sequence so far: those of a context of 32,768 tokens take 67 MB with Gemma 3.
"""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

_FIRST_POSITIONS = 4096
_BY_LENGTH = ("dynamic", "longrope")  # these rotate otherwise once a text is long


class Rotations:
    """Cosine and sine of each position, by kind of layer.

    The sine's first half is negative, so that x * cos + roll(x) * sin rotates.

    Args:
        rotary: the model's rotary embedding.
        kinds: of its layers; None where all are of one.
        max_positions: longest sequence.
    """

    def __init__(
        self, rotary: Any, kinds: Iterable[str | None], max_positions: int, dtype: torch.dtype, device: torch.device
    ) -> None:
        self._rotary, self._kinds, self._dtype, self._device = rotary, set(kinds), dtype, device
        types = getattr(rotary, "rope_type", "default")
        is_fixed = not {*(types.values() if isinstance(types, dict) else (types,))} & {*_BY_LENGTH}
        self._max_positions = max_positions
        self._grows = device.type == "cpu" and is_fixed  # graphs of a GPU read tables where they lie
        self._lengthen(min(_FIRST_POSITIONS, max_positions) if self._grows else max_positions)

    def at(self, positions: Tensor) -> dict[str | None, tuple[Tensor, Tensor]]:
        """Cosines and sines [t, 1, head_dim] at positions [t], by kind of layer."""
        if self._grows and len(positions) and (needed := int(positions.max()) + 1) > self._length:
            self._lengthen(min(max(needed, 2 * self._length), self._max_positions))
        return {kind: (cos[positions], sin[positions]) for kind, (cos, sin) in self._tables.items()}

    def _lengthen(self, length: int) -> None:
        probe = torch.empty(0, dtype=torch.float32, device=self._device)
        positions = torch.arange(length, device=self._device)[None]
        by_kind = hasattr(self._rotary, "layer_types")
        tables: dict[str | None, tuple[Tensor, Tensor]] = {}
        for kind in self._kinds:
            cos, sin = self._rotary(probe, positions, kind) if by_kind else self._rotary(probe, positions)
            half = sin.shape[-1] // 2
            signed = torch.cat([-sin[..., :half], sin[..., half:]], dim=-1)
            tables[kind] = (cos[0, :, None].to(self._dtype), signed[0, :, None].to(self._dtype))
        self._tables, self._length = tables, length
