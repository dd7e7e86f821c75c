"""The choice of tokens from logits."""

import pytest
import torch

from plait.serve.engines.engine import Sampling
from plait.serve.engines.sampling import Sampler, next_tokens


@pytest.mark.parametrize("vocabulary", [100, 256, 1024])
@pytest.mark.parametrize("rows", [0, 1, 5])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_greedy_takes_the_first_of_the_largest_logits(rows: int, vocabulary: int, dtype: torch.dtype) -> None:
    torch.manual_seed(rows)
    logits = torch.randint(-20, 20, (rows, vocabulary)).to(dtype)  # many are equal
    expected = [next(i for i, x in enumerate(row) if x == max(row)) for row in logits.tolist()]
    assert next_tokens(logits, [Sampler(Sampling(max_tokens=1), [], None)] * rows) == expected
