"""Keys and values in blocks (Kwon et al. 2023, PagedAttention, arXiv:2309.06180), shared by prompts that begin alike.

`KeyValues` holds them; `BlockPool` says which block belongs to whom. A block that is full is known by the hash of all
tokens up to its end, so a later request with the same beginning (and adapter) takes it over instead of computing it.
"""

from collections import OrderedDict, deque
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from math import prod
from mmap import MAP_ANONYMOUS, MAP_PRIVATE, mmap

import torch
from torch import Tensor


@dataclass(frozen=True)
class KeyValues:
    """Keys and values of all layers.

    Attributes:
        stored: [2, layers, blocks, block size, kv heads, head dim], keys first.
    """

    stored: Tensor

    @classmethod
    def empty(
        cls, layers: int, blocks: int, block_size: int, kv_heads: int, head_dim: int, dtype: torch.dtype,
        device: torch.device,
    ) -> "KeyValues":  # fmt: skip
        """Zeros. On a CPU a block takes memory from the first time that it is written."""
        shape = (2, layers, blocks, block_size, kv_heads, head_dim)
        if device.type != "cpu":
            return cls(torch.zeros(shape, dtype=dtype, device=device))
        # torch would write the zeros. The system's pages hold some, and are given when they are written.
        pages = mmap(-1, prod(shape) * dtype.itemsize, flags=MAP_PRIVATE | MAP_ANONYMOUS)
        return cls(torch.frombuffer(pages, dtype=dtype).view(shape))

    @cached_property
    def keys(self) -> list[Tensor]:
        """[blocks, block size, kv heads, head dim] by layer."""
        return list(self.stored[0])

    @cached_property
    def values(self) -> list[Tensor]:
        """As `keys`."""
        return list(self.stored[1])

    @property
    def block_size(self) -> int:
        return self.keys[0].shape[1]

    def clear(self, blocks: Sequence[int]) -> None:
        """Remove what earlier users left in blocks.

        Some attention reads whole blocks and gives what lies behind a sequence's end no weight; but 0 * NaN is NaN.
        """
        if blocks:
            self.stored.index_fill_(2, torch.tensor(blocks, device=self.stored.device), 0)

    def write(self, layer: int, slots: Tensor, keys: Tensor, values: Tensor) -> None:
        """Put the keys and values [t, kv heads, head dim] of tokens into their slots [t]."""
        self.keys[layer].flatten(0, 1).index_copy_(0, slots, keys)
        self.values[layer].flatten(0, 1).index_copy_(0, slots, values)

    def read(self, layer: int, blocks: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values [b, kv heads, n * block size, head dim] of blocks [b, n]."""
        return _gather(self.keys[layer], blocks), _gather(self.values[layer], blocks)


def _gather(stored: Tensor, blocks: Tensor) -> Tensor:
    rows, count = blocks.shape
    gathered = stored.index_select(0, blocks.flatten())
    return gathered.view(rows, count * stored.shape[1], *stored.shape[2:]).transpose(1, 2)


@dataclass
class BlockPool:
    """Which blocks are free, in use (perhaps by several), or kept for whoever begins with the same tokens.

    Attributes:
        size: blocks there are.
    """

    size: int
    _empty: deque[int] = field(init=False)
    _users: dict[int, int] = field(init=False, default_factory=dict)
    _by_hash: dict[Hashable, int] = field(init=False, default_factory=dict)
    _hash_of: dict[int, Hashable] = field(init=False, default_factory=dict)
    _uncleared: list[int] = field(init=False, default_factory=list)
    _kept: OrderedDict[int, None] = field(init=False, default_factory=OrderedDict)
    """Unused blocks with content worth keeping, least recently used first."""

    def __post_init__(self) -> None:
        self._empty = deque(range(self.size))

    @property
    def free(self) -> int:
        """Blocks that can be taken now."""
        return len(self._empty) + len(self._kept)

    def take(self, count: int) -> list[int] | None:
        """Blocks with what others left in them, or None when there are not enough; see `uncleared`."""
        if count > self.free:
            return None
        taken = [self._take_one() for _ in range(count)]
        self._uncleared += taken
        return taken

    def uncleared(self) -> list[int]:
        """Blocks taken since the last call: they must be cleared before a step reads them."""
        taken, self._uncleared = self._uncleared, []
        return taken

    def _take_one(self) -> int:
        if self._empty:
            block = self._empty.popleft()
        else:
            block, _ = self._kept.popitem(last=False)
            del self._by_hash[self._hash_of.pop(block)]
        self._users[block] = 1
        return block

    def share(self, hashes: Sequence[Hashable]) -> list[int]:
        """The blocks that hold the longest known beginning of what these hashes stand for, now in use once more."""
        shared: list[int] = []
        for known in hashes:
            block = self._by_hash.get(known)
            if block is None:
                break
            self._kept.pop(block, None)
            self._users[block] = self._users.get(block, 0) + 1
            shared.append(block)
        return shared

    def name(self, block: int, known_as: Hashable) -> None:
        """Say what a full block holds; the first block of equal content keeps the name."""
        if known_as not in self._by_hash and block not in self._hash_of:
            self._by_hash[known_as] = block
            self._hash_of[block] = known_as

    def give_back(self, blocks: Sequence[int]) -> None:
        """End a use of blocks. The last ones of a sequence are forgotten before its first ones."""
        for block in reversed(blocks):
            self._users[block] -= 1
            if self._users[block]:
                continue
            del self._users[block]
            if block in self._hash_of:
                self._kept[block] = None
            else:
                self._empty.appendleft(block)  # before those that have never been used, and take no memory yet
