"""The choice of tokens from logits, against transformers' processors and against plain arithmetic."""

import math
from collections import Counter
from typing import Any

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch import Tensor
from transformers import (
    LogitsProcessorList,
    MinPLogitsWarper,
    RepetitionPenaltyLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from plait.engines.bad_words import BadWords
from plait.engines.engine import Sampling
from plait.engines.sampling import Sampler, largest
from plait.engines.token_filters import draw, likeliest
from plait.engines.vocabulary import Vocabulary
from plait.errors import NotFinite


class Words(Vocabulary):
    """Token 7 is `w7`."""

    def __init__(self, size: int) -> None:
        self._size = size

    def utf8(self, token: int) -> bytes:
        return f"w{token}".encode()


def sampler(prompt: tuple[int, ...] = (), said: tuple[int, ...] = (), size: int = 4096, **asked: Any) -> Sampler:
    made = Sampler(Sampling(max_tokens=1, **asked), prompt, Words(size))
    for token in said:
        made.push(token)
    return made


def random_logits(seed: int, size: int, spread: float = 3) -> Tensor:
    """No two are equal, so that the order is certain."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(size, generator=generator) * spread


@pytest.mark.parametrize("vocabulary", [100, 256, 1024])
@pytest.mark.parametrize("rows", [0, 1, 5])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_greedy_takes_the_first_of_the_largest_logits(rows: int, vocabulary: int, dtype: torch.dtype) -> None:
    torch.manual_seed(rows)
    logits = torch.randint(-20, 20, (rows, vocabulary)).to(dtype)  # many are equal
    expected = [next(i for i, x in enumerate(row) if x == max(row)) for row in logits.tolist()]
    assert largest(logits).tolist() == expected


@pytest.mark.parametrize(("size", "count"), [(4096, 1), (4096, 40), (4096, 64), (4096, 65), (4096, 4096), (100, 7)])
def test_the_likeliest_are_those_of_a_sort(size: int, count: int) -> None:
    logits = random_logits(count, size)
    values, tokens = likeliest(logits, count)
    ordered = logits.sort(descending=True)
    assert torch.equal(values, ordered.values[:count])
    assert torch.equal(tokens, ordered.indices[:count])


filters = st.fixed_dictionaries(
    {
        "temperature": st.floats(0.1, 3),
        "top_p": st.one_of(st.just(1.0), st.floats(0.01, 1)),
        "top_k": st.one_of(st.just(0), st.integers(1, 5000)),
        "min_p": st.one_of(st.just(0.0), st.floats(0.0001, 0.9)),
    }
)


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 1000), st.sampled_from([50, 4096]), st.sampled_from([0.05, 3.0]), filters)
@example(0, 4096, 0.05, {"temperature": 0.125, "top_p": 0.125, "top_k": 0, "min_p": 0.25})  # min_p keeps 1,023
def test_the_filters_keep_what_transformers_processors_keep(
    seed: int, size: int, spread: float, asked: dict[str, Any]
) -> None:
    """Flat rows too (a spread of 0.05), whose nucleus is far beyond the first look."""
    logits = random_logits(seed, size, spread)
    kept = reference_probabilities(logits, asked)
    ordered, tokens = kept.sort(descending=True)
    count = int((ordered > 0).sum())
    cumulative = ordered.cumsum(0)
    for share in (0.0, 0.3, 0.77, 1 - 2**-53):
        token = draw(logits, **asked, share=share)
        # Without a filter the tokens are added up in the order of the vocabulary.
        is_unfiltered = not asked["top_k"] and not asked["min_p"] and asked["top_p"] == 1
        sums = kept.cumsum(0) if is_unfiltered else cumulative
        at = token if is_unfiltered else int((tokens == token).nonzero())
        # The edge of the nucleus is known to float32's accuracy: one token more or less of it.
        assert at < count + 1 or is_unfiltered
        before = float(sums[at - 1]) if at else 0.0
        slack = 2e-5 + 2 * float(ordered[min(count, len(ordered)) - 1])
        assert before - slack <= share <= float(sums[at]) + slack


def reference_probabilities(logits: Tensor, asked: dict[str, Any]) -> Tensor:
    steps = LogitsProcessorList([TemperatureLogitsWarper(asked["temperature"])])
    if asked["min_p"]:
        steps.append(MinPLogitsWarper(asked["min_p"]))
    if asked["top_k"]:
        steps.append(TopKLogitsWarper(asked["top_k"]))
    if asked["top_p"] < 1:
        steps.append(TopPLogitsWarper(asked["top_p"]))
    scores = steps(torch.empty(1, 0, dtype=torch.long), logits[None].double())[0]
    return torch.softmax(scores, dim=-1)


def test_tokens_come_as_often_as_they_are_likely() -> None:
    logits = torch.tensor([2.0, 1.0, 0.0, -1.0, -20.0])
    for asked in ({}, {"top_p": 0.9}, {"top_k": 2}, {"min_p": 0.2}):
        options = {"temperature": 1.3, "top_p": 1.0, "top_k": 0, "min_p": 0.0, **asked}
        expected = reference_probabilities(logits, options)
        one = sampler(seed=1, **options)
        drawn = Counter(one.next_token(logits) for _ in range(4000))
        for token, probability in enumerate(expected.tolist()):
            assert abs(drawn[token] / 4000 - probability) < 0.03
            assert probability > 0 or drawn[token] == 0


tokens_of_50 = st.lists(st.integers(0, 49), max_size=20)


@settings(deadline=None)
@given(
    st.integers(0, 1000),
    tokens_of_50,
    tokens_of_50,
    st.floats(0.1, 3),
    st.floats(-2, 2),
    st.floats(-2, 2),
    st.dictionaries(st.integers(0, 49), st.floats(-100, 100), max_size=5),
)
def test_penalties_and_bias_change_the_likeliest_token_as_the_formulas_say(
    seed: int,
    prompt: list[int],
    said: list[int],
    repetition: float,
    presence: float,
    frequency: float,
    bias: dict[int, float],
) -> None:
    logits = random_logits(seed, 50)
    expected = logits.double()
    for token, value in bias.items():
        expected[token] += value
    if prompt or said:
        penalty = RepetitionPenaltyLogitsProcessor(repetition)
        expected = penalty(torch.tensor([prompt + said]), expected[None])[0]
    for token, count in Counter(said).items():
        expected[token] -= presence + frequency * count
    chosen = sampler(
        tuple(prompt),
        tuple(said),
        repetition_penalty=repetition,
        presence_penalty=presence,
        frequency_penalty=frequency,
        logit_bias=tuple(bias.items()),
    ).next_token(logits)
    assert float(expected[chosen]) == pytest.approx(float(expected.max()), abs=1e-4)


def test_only_pushed_tokens_are_penalised_however_often_the_step_is_computed() -> None:
    logits = torch.tensor([1.0, 0.8])
    one = sampler(frequency_penalty=0.15)
    assert [one.next_token(logits) for _ in range(5)] == [0] * 5
    one.push(0)
    assert one.next_token(logits) == 0
    one.push(0)
    assert one.next_token(logits) == 1


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 1000), st.integers(0, 20), st.floats(0.2, 3))
def test_logprobs_are_the_models_own_before_everything_else(seed: int, count: int, temperature: float) -> None:
    logits = random_logits(seed, 4096).bfloat16()
    expected = torch.log_softmax(logits.double(), dim=-1)
    one = sampler(logprobs=count, temperature=temperature, top_k=3, logit_bias=((5, 50.0),), seed=seed)
    token = one.next_token(logits)
    (told,) = one.take_logprobs()
    assert told.token == f"w{token}" == "w5"
    assert told.logprob == pytest.approx(float(expected[5]), abs=1e-4)
    assert [t.logprob for t in told.top] == pytest.approx(expected.topk(count).values.tolist(), abs=1e-4)
    assert all(expected[int(t.token[1:])] == pytest.approx(t.logprob, abs=1e-4) for t in told.top)
    assert one.take_logprobs() == ()


def test_a_temperature_next_to_zero_takes_the_likeliest() -> None:
    logits = random_logits(0, 4096)
    assert sampler(temperature=1e-30, top_p=0.5).next_token(logits) == int(logits.argmax())
    assert not math.isnan(sampler(temperature=2e-5, top_p=0.5, seed=0).next_token(logits))


def test_only_allowed_tokens_come() -> None:
    logits = random_logits(0, 4096)
    order = logits.argsort(descending=True).tolist()
    assert sampler(allowed_token_ids=(order[9], order[5])).next_token(logits) == order[5]


def test_no_end_token_comes_before_the_least_length() -> None:
    logits = random_logits(0, 4096)
    order = logits.argsort(descending=True).tolist()
    one = Sampler(Sampling(max_tokens=9, min_tokens=2), (), Words(4096), end_ids=order[:2])
    chosen = []
    for _ in range(3):
        chosen.append(one.next_token(logits) if one.needs_logits else int(logits.argmax()))
        one.push(chosen[-1])
    assert chosen == [order[2], order[2], order[0]]
    assert not one.needs_logits


def test_a_bad_word_does_not_become_whole() -> None:
    logits = random_logits(0, 4096)
    order = logits.argsort(descending=True).tolist()
    tokens = {"a": [order[0]], " a": [order[1]], "bc": [order[2], order[3]], " bc": [7, order[3]]}
    one = Sampler(Sampling(max_tokens=9), (), Words(4096), bad_words=BadWords(("a", " bc"), tokens.__getitem__))
    chosen = []
    for _ in range(2):
        chosen.append(one.next_token(logits))
        one.push(chosen[-1])
        logits[order[2]] = logits[order[3]] - 1e-3  # the next likeliest is what would complete the word
    assert chosen == [order[2], order[2]]
    one.push(5)
    assert one.next_token(logits) == order[3]


@pytest.mark.parametrize("vocabulary", [100, 1024])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_rows_whose_largest_logit_is_not_finite_have_no_token(
    vocabulary: int, dtype: torch.dtype, value: float
) -> None:
    logits = torch.stack([random_logits(seed, vocabulary) for seed in range(4)]).to(dtype)
    expected = logits.argmax(-1)
    logits[1, 77] = value
    logits[3] = -math.inf
    assert largest(logits).tolist() == [int(expected[0]), -1, int(expected[2]), -1]


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_changes_that_leave_no_finite_logits_choose_no_token(temperature: float) -> None:
    logits = random_logits(0, 50)
    with pytest.raises(NotFinite, match="after bias and penalties the request's numbers are infinite"):
        sampler(prompt=tuple(range(50)), repetition_penalty=1e-40, temperature=temperature).next_token(logits)
    with pytest.raises(NotFinite):
        sampler(logit_bias=((3, math.nan),), temperature=temperature).next_token(logits)
