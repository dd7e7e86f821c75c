"""Blocks and the plan of steps: nobody starves, nothing leaks, common beginnings are computed once."""

from hypothesis import given
from hypothesis import strategies as st

from plait.engines.torch.kv_cache import BlockPool
from plait.engines.torch.scheduler import Scheduler, TokenSequence

BLOCK = 4


def scheduler_of(blocks: int, max_running: int = 4, max_step_tokens: int = 16) -> tuple[Scheduler, BlockPool]:
    pool = BlockPool(blocks)
    return Scheduler(pool, BLOCK, max_running, max_step_tokens), pool


def run(scheduler: Scheduler, answers: dict[TokenSequence, int]) -> list[list[tuple[TokenSequence, int]]]:
    """Compute until all have said as many tokens as they want; the tokens of each step by sequence."""
    steps = []
    left = dict(answers)
    while plan := scheduler.plan():
        steps.append([(sequence, len(span.tokens)) for sequence, span in plan])
        assert len({b for s, _ in plan for b in s.blocks[s.named :]}) == sum(len(s.blocks) - s.named for s, _ in plan)
        for sequence, span in plan:
            scheduler.complete(sequence, span)
            if span.is_wanted:
                sequence.tokens.append(1000 + len(sequence.tokens))
                left[sequence] -= 1
                if not left[sequence]:
                    scheduler.remove(sequence)
    assert not any(left.values())
    return steps


@given(
    prompts=st.lists(st.integers(1, 30), min_size=1, max_size=8),
    answer=st.integers(1, 20),
    blocks=st.integers(13, 40),
    max_running=st.integers(1, 5),
    max_step_tokens=st.integers(1, 40),
)
def test_every_sequence_ends_in_little_memory_and_gives_all_of_it_back(
    prompts: list[int], answer: int, blocks: int, max_running: int, max_step_tokens: int
) -> None:
    scheduler, pool = scheduler_of(blocks, max_running, max_step_tokens)
    sequences = [TokenSequence([number * 100 + i for i in range(n)], "") for number, n in enumerate(prompts)]
    for sequence in sequences:
        scheduler.add(sequence)
    run(scheduler, dict.fromkeys(sequences, answer))
    assert pool.free == blocks
    assert [len(s.tokens) for s in sequences] == [n + answer for n in prompts]


def test_a_long_prompt_does_not_keep_others_from_their_next_token() -> None:
    scheduler, _ = scheduler_of(100)
    short, long = TokenSequence([1, 2], ""), TokenSequence(list(range(100, 160)), "")
    scheduler.add(short)
    scheduler.add(long)
    steps = run(scheduler, {short: 6, long: 1})
    assert steps[0] == [(short, 2), (long, 14)]
    assert steps[1:4] == [[(short, 1), (long, 15)]] * 3
    assert steps[4] == [(short, 1), (long, 1)]


def test_a_short_prompt_overtakes_a_long_one_that_would_fill_the_steps() -> None:
    scheduler, _ = scheduler_of(100)
    starts = ((0, 60), (100, 60), (200, 5))
    long, also_long, short = (TokenSequence(list(range(start, start + count)), "") for start, count in starts)
    for sequence in (long, also_long, short):
        scheduler.add(sequence)
    steps = run(scheduler, {long: 1, also_long: 1, short: 2})
    assert steps[0] == [(long, 16)]
    assert dict(steps[1]) == {long: 11, short: 5}
    assert steps[2] == [(short, 1), (long, 15)]
    assert [sequence for sequence, _ in steps[5]] == [also_long]  # in the order in which they came


def test_a_shorter_prompt_that_fits_into_no_step_is_read_beside_a_long_one() -> None:
    scheduler, _ = scheduler_of(100)
    long, shorter, longer = (TokenSequence(list(range(n * 100, n * 100 + c)), "") for n, c in enumerate((60, 20, 70)))
    for sequence in (long, longer, shorter):
        scheduler.add(sequence)
    steps = run(scheduler, {long: 1, longer: 1, shorter: 1})
    assert steps[0] == [(long, 16)]
    assert [dict(step) for step in steps[1:4]] == [{long: 8, shorter: 8}, {long: 8, shorter: 8}, {long: 12, shorter: 4}]
    assert steps[4] == [(long, 16)]  # alone: the longer one waits


def test_a_long_prompt_has_half_of_each_step_however_many_short_ones_come() -> None:
    scheduler, _ = scheduler_of(100, max_running=3)
    long = TokenSequence(list(range(1000, 1060)), "")
    scheduler.add(long)
    assert [(s, len(span.tokens)) for s, span in scheduler.plan()] == [(long, 16)]
    scheduler.complete(long, scheduler.plan()[0][1])
    for number in range(20):
        scheduler.add(TokenSequence([number] * 8, ""))
    assert [len(span.tokens) for _, span in scheduler.plan()] == [8, 8]
    assert len(scheduler.waiting) == 19


def test_a_common_beginning_is_computed_once_within_a_namespace() -> None:
    scheduler, _ = scheduler_of(100)
    system = list(range(10))  # two full blocks and a half
    first = TokenSequence([*system, 50], "a")
    scheduler.add(first)
    run(scheduler, {first: 1})
    same, other = TokenSequence([*system, 60], "a"), TokenSequence([*system, 60], "b")
    scheduler.add(same)
    scheduler.add(other)
    run(scheduler, {same: 1, other: 1})
    assert (first.reused, same.reused, other.reused) == (0, 8, 0)


def test_kept_blocks_are_forgotten_when_others_need_them() -> None:
    scheduler, pool = scheduler_of(4)
    for start in (0, 100, 0):
        sequence = TokenSequence(list(range(start, start + 16)), "")
        scheduler.add(sequence)
        run(scheduler, {sequence: 1})
        assert pool.free == 4
    assert sequence.reused == 0


def test_when_memory_runs_out_the_last_one_waits_and_what_it_said_stays() -> None:
    scheduler, pool = scheduler_of(6)
    first, last = TokenSequence(list(range(8)), ""), TokenSequence(list(range(100, 104)), "")
    scheduler.add(first)
    scheduler.add(last)
    steps = run(scheduler, {first: 14, last: 14})
    assert last.tokens == [*range(100, 104), *(1000 + i for i in range(4, 18))]
    computed = sum(count for step in steps for sequence, count in step if sequence is last)
    assert computed > 17  # some of it twice
    assert pool.free == 6
