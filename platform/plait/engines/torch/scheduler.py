"""Which sequences run in the next step, and how many of their tokens: continuous batching (Yu et al. 2022, Orca).

Every sequence that generates gets its one token; prompts get what is left of the step's tokens, in chunks; waiting
sequences join as soon as there is a row and memory for what they have. Half of a step that a long prompt would fill is
for shorter ones: those that fit whole into it, then the shortest of the others in chunks, so that no question waits for
a document, and the document gets on. When a generating sequence finds no free block, the one that came last gives its
blocks back and waits again: what it has said is kept, and computed anew later.
"""

from array import array
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import blake2b

from plait.engines.torch.kv_cache import BlockPool
from plait.engines.torch.step import Span


@dataclass(eq=False)
class TokenSequence:
    """A prompt and what was generated after it.

    Attributes:
        tokens: all of them; whoever samples appends.
        namespace: sequences share computed blocks only within one: the loaded adapter's, for one salt.
        computed: tokens whose keys and values are in `blocks`, or come with the adapter.
        given: tokens at the beginning that are not computed but come with the adapter (prefix tuning).
        unfilled: from which position those are still to be written, before the next step.
        reused: tokens of the prompt that another sequence had computed; known once the sequence runs.
        needed_from: the position from which on hidden states are needed, so that nobody's blocks can stand for them.
    """

    tokens: list[int]
    namespace: str
    given: int = 0
    computed: int = 0
    unfilled: int | None = None
    reused: int | None = None
    needed_from: int | None = None
    named: int = 0
    blocks: list[int] = field(default_factory=list)
    _digests: list[bytes] = field(default_factory=list)

    @property
    def remaining(self) -> int:
        """Tokens to compute before the next one can be sampled."""
        return len(self.tokens) - self.computed

    def digests(self, count: int, block_size: int) -> Sequence[bytes]:
        """What the first `count` full blocks hold: each digest covers everything up to its block's end."""
        while len(self._digests) < count:
            start = len(self._digests) * block_size
            before = self._digests[-1] if self._digests else self.namespace.encode()
            content = array("q", self.tokens[start : start + block_size]).tobytes()
            self._digests.append(blake2b(before + content, digest_size=16).digest())
        return self._digests[:count]


class Scheduler:
    """Sequences that run and that wait.

    Args:
        pool: the cache's blocks.
        block_size: tokens of a block.
        max_running: sequences that may share a step.
        max_step_tokens: tokens that a step computes at most, unless more sequences than that generate.
    """

    def __init__(self, pool: BlockPool, block_size: int, max_running: int, max_step_tokens: int) -> None:
        self._pool, self._block_size = pool, block_size
        self._max_running, self._max_step_tokens = max_running, max_step_tokens
        self.running: list[TokenSequence] = []  # in the order of their arrival
        self.waiting: deque[TokenSequence] = deque()

    def add(self, sequence: TokenSequence) -> None:
        self.waiting.append(sequence)

    def remove(self, sequence: TokenSequence) -> None:
        """Forget a sequence, wherever it is; its blocks are free at once."""
        if sequence in self.running:
            self.running.remove(sequence)
            self._release(sequence)
        else:
            self.waiting.remove(sequence)

    def plan(self) -> list[tuple[TokenSequence, Span]]:
        """The next step, sequences of one token first; empty when nothing is to be done."""
        counts: dict[TokenSequence, int] = {}
        for sequence in [s for s in self.running if s.remaining == 1]:
            if sequence in self.running and self._has_room_to_grow(sequence):
                counts[sequence] = 1
        left = self._max_step_tokens - len(counts)
        prompts = [s for s in self.running if s.remaining > 1]
        if prompts and prompts[0].remaining > left:
            left -= self._plan_shorter(left // 2, prompts[0].remaining, prompts[1:], counts)
        for sequence in prompts:
            if sequence not in counts and left > 0:
                counts[sequence] = min(sequence.remaining, left)
                left -= counts[sequence]
        while left > 0 and self.waiting and self._joins(sequence := self.waiting[0]):
            counts[sequence] = min(sequence.remaining, left)
            left -= counts[sequence]
        ordered = sorted(counts, key=lambda s: counts[s] > 1)
        return [(sequence, self._span(sequence, counts[sequence])) for sequence in ordered]

    def _plan_shorter(
        self, most: int, than: int, running: Sequence[TokenSequence], counts: dict[TokenSequence, int]
    ) -> int:
        """Put prompts into a step that have fewer tokens left than `than`; returns how many tokens they take.

        Those that fit whole into `most` tokens come first, then a chunk of the shortest of the others.
        """
        left = most
        for sequence in running:
            if sequence.remaining <= left:
                counts[sequence] = sequence.remaining
                left -= counts[sequence]
        for sequence in [s for s in self.waiting if len(s.tokens) <= left]:
            if len(sequence.tokens) <= left and self._joins(sequence):
                counts[sequence] = sequence.remaining
                left -= counts[sequence]
        others = [s for s in (*running, *self.waiting) if s not in counts and s.remaining < than]
        shortest = min(others, key=lambda s: s.remaining, default=None)
        if left > 0 and shortest is not None and (shortest in running or self._joins(shortest)):
            counts[shortest] = min(shortest.remaining, left)
            left -= counts[shortest]
        return most - left

    def _joins(self, sequence: TokenSequence) -> bool:
        """Let a sequence that waits run, if there is a row and memory for it."""
        if len(self.running) >= self._max_running or not self._admit(sequence):
            return False
        self.waiting.remove(sequence)
        self.running.append(sequence)
        return True

    def complete(self, sequence: TokenSequence, span: Span) -> None:
        """Tell that a span of a sequence is computed, and right: others may use its full blocks from now on."""
        sequence.computed = span.start + len(span.tokens)
        sequence.unfilled = None
        full = sequence.computed // self._block_size
        for index in range(sequence.named, full):
            self._pool.name(sequence.blocks[index], sequence.digests(full, self._block_size)[index])
        sequence.named = full

    def _span(self, sequence: TokenSequence, count: int) -> Span:
        end = sequence.computed + count
        return Span(
            tokens=sequence.tokens[sequence.computed : end],
            start=sequence.computed,
            blocks=sequence.blocks,
            is_wanted=end == len(sequence.tokens),
        )

    def _admit(self, sequence: TokenSequence) -> bool:
        """Give a sequence the blocks for all that it has, those that are known already among them, or none."""
        needed = -(-len(sequence.tokens) // self._block_size)
        # The last token is always computed: its logits are what the sequence waits for.
        computed_at_least = len(sequence.tokens) - 1 if sequence.needed_from is None else sequence.needed_from
        known = computed_at_least // self._block_size
        shared = self._pool.share(sequence.digests(known, self._block_size))
        # Those that run may each need a block soon; taking the last ones would only make somebody wait again.
        spare = len(self.running)
        taken = self._pool.take(needed - len(shared)) if needed - len(shared) + spare <= self._pool.free else None
        if taken is None:
            self._pool.give_back(shared)
            return False
        sequence.blocks = shared + taken
        sequence.named = len(shared)
        sequence.computed = len(shared) * self._block_size
        if sequence.reused is None:  # later it may find again what it computed itself
            sequence.reused = sequence.computed
        if sequence.given > sequence.computed:
            sequence.unfilled, sequence.computed = sequence.computed, sequence.given
        return True

    def _has_room_to_grow(self, sequence: TokenSequence) -> bool:
        while len(sequence.blocks) * self._block_size < len(sequence.tokens):
            taken = self._pool.take(1)
            if taken is not None:
                sequence.blocks += taken
                continue
            last = self.running.pop()
            self._release(last)
            self.waiting.appendleft(last)
            if last is sequence:
                return False
        return True

    def _release(self, sequence: TokenSequence) -> None:
        self._pool.give_back(sequence.blocks)
        sequence.blocks = []
        sequence.computed = sequence.named = 0
        sequence.unfilled = None
