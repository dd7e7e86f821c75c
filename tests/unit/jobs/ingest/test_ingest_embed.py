"""How many chunks are embedded at a time."""

import pytest

from plait.jobs.ingest.embed import batch_size_of
from plait.recipes import IngestRecipe


@pytest.mark.parametrize(
    ("batch_size", "max_tokens", "on_gpu", "expected"),
    [
        (None, 200, False, 32),
        (None, 200, True, 256),
        (None, 8192, True, 32),
        (None, 400, True, 128),
        (7, 200, False, 7),
        (7, 200, True, 7),
    ],
)
def test_a_gpu_takes_more_chunks_at_a_time_unless_they_are_long(
    batch_size: int | None, max_tokens: int, on_gpu: bool, expected: int
) -> None:
    about = {"sources": ["x"], "chunk": {"max_tokens": max_tokens}, "embedding": {"batch_size": batch_size}}
    assert batch_size_of(IngestRecipe.model_validate(about), on_gpu) == expected
