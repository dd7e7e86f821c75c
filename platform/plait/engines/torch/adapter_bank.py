"""Many adapters in one batch: each token gets its own adapter's products, without a loop over adapters.

Low-rank products are gathered by a kernel where there is one (on GPUs, and on CPUs in bfloat16), else they stand in
slots with everything else that an adapter does. A prefix is no part of this: its keys and values are in the cache.
"""

from collections import OrderedDict
from collections.abc import Sequence

import torch
from torch import Tensor

from plait.engines.torch.adapter_weights import AdapterWeights
from plait.engines.torch.decoder import Decoder
from plait.engines.torch.gathered_low_rank import CpuLowRank, GatheredLowRank
from plait.engines.torch.projection import Adaptation, GatheredRows, Site
from plait.engines.torch.slot_tables import SlotAdaptation, SlotTables


class AdapterBank:
    """Loaded adapters, some of them in the batch.

    Args:
        decoder: the base model.
    """

    def __init__(self, decoder: Decoder) -> None:
        self._decoder = decoder
        self._loaded: dict[str, AdapterWeights] = {}
        self._gathered = _low_rank_kernel(decoder)
        self._slots: OrderedDict[str, int] = OrderedDict()  # least recently used first
        self._tables = SlotTables(decoder, slots=0, rank=0)
        self._in_batch: frozenset[str] = frozenset()

    def __contains__(self, key: str) -> bool:
        return key in self._loaded

    def get(self, key: str) -> AdapterWeights | None:
        return self._loaded.get(key)

    def loaded(self) -> dict[str, AdapterWeights]:
        return dict(self._loaded)

    def is_in_batch(self, key: str) -> bool:
        """Whether an adapter's weights stand ready: it is in a slot, or in the step that was computed last."""
        return key in self._in_batch or key in self._slots

    def prepare(self, adapter: AdapterWeights) -> None:
        """Lay out an adapter's weights as steps want them; may run beside steps."""
        if self._gathered:
            self._gathered.take(adapter)

    def add(self, key: str, adapter: AdapterWeights) -> None:
        """Have an adapter that is prepared."""
        self._loaded[key] = adapter

    def remove(self, key: str) -> None:
        """Forget an adapter. No step may use it any more."""
        adapter = self._loaded.pop(key)
        if self._gathered:
            self._gathered.forget(adapter)
        if key in self._slots:
            self._tables.clear(self._slots.pop(key))

    def adaptation(self, rows: Sequence[tuple[str | None, int]]) -> Adaptation | None:
        """What a step needs whose packed tokens belong to these adapters, `(key, tokens)` each, single tokens first;
        None: base alone."""
        self._in_batch = frozenset(key for key, _ in rows if key is not None)
        if not self._in_batch:
            return None
        slots = self._adapt_by_slots(rows)
        if self._gathered is None:
            return slots
        gathered = self._gathered.gather([(self._loaded[key] if key else None, n) for key, n in rows])
        if gathered is None and slots is None:  # prefixes alone: they are in the cache
            return None
        return _Gathered(self._gathered, gathered, slots)

    def _adapt_by_slots(self, rows: Sequence[tuple[str | None, int]]) -> SlotAdaptation | None:
        needed = {key for key in self._in_batch if self._gathered is None or self._loaded[key].has_tables}
        if not needed:
            return None
        self._seat(needed)
        slots = torch.tensor([self._slots[key] if key in needed else -1 for key, _ in rows])
        of_tokens = slots.repeat_interleave(torch.tensor([count for _, count in rows]))
        return SlotAdaptation(self._tables, of_tokens.to(self._decoder.device))

    def _seat(self, needed: set[str]) -> None:
        """Give every needed adapter a slot."""
        rank = 0 if self._gathered else max(self._loaded[key].rank for key in needed)
        is_too_small = len(needed) > self._tables.slots or rank > self._tables.rank
        if is_too_small or self._tables.slots > 2 * len(needed):
            # Slots that nobody needs are computed with all the same, so few adapters get few slots.
            self._tables = SlotTables(self._decoder, 1 << (len(needed) - 1).bit_length(), rank)
            self._slots.clear()
        for key in sorted(needed):
            if key not in self._slots:
                if len(self._slots) < self._tables.slots:
                    slot = min(set(range(self._tables.slots)) - set(self._slots.values()))
                else:
                    evicted = next(k for k in self._slots if k not in needed)
                    slot = self._slots.pop(evicted)
                self._tables.write(slot, self._loaded[key])
                self._slots[key] = slot
            self._slots.move_to_end(key)


def _low_rank_kernel(decoder: Decoder) -> GatheredLowRank | None:
    if decoder.device.type == "cuda":
        from plait.engines.torch.cuda_low_rank import CudaLowRank  # Triton comes with torch for CUDA alone

        return CudaLowRank(decoder)
    return CpuLowRank(decoder, decoder.kernels) if decoder.kernels else None


class _Gathered:
    """An `Adaptation` of one step: low-rank products gathered, the rest by slots if any row needs it."""

    def __init__(self, products: GatheredLowRank, rows: GatheredRows | None, slots: SlotAdaptation | None) -> None:
        self._products, self._rows, self._slots = products, rows, slots

    @property
    def gathered_only(self) -> GatheredRows | None:
        return self._rows if self._slots is None else None

    def with_rows(self, rows: GatheredRows) -> "_Gathered":
        """See `Adaptation`."""
        return _Gathered(self._products, rows, None)

    def before(self, site: Site, hidden: Tensor) -> Tensor:
        return hidden if self._slots is None else self._slots.before(site, hidden)

    def after(self, site: Site, hidden: Tensor, output: Tensor) -> Tensor:
        if self._rows is not None:
            output = self._products.add(self._rows, site, hidden, output)
        return output if self._slots is None else self._slots.after(site, hidden, output)

    def around(self, layer: int, sublayer: str, output: Tensor) -> Tensor:
        return output if self._slots is None else self._slots.around(layer, sublayer, output)
