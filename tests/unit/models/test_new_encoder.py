"""An encoder in one file and one place in the list, as docs/extending.md shows it."""

from pathlib import Path

import numpy as np
import pytest
from hashing_encoder import HashingEncoder

from plait.models.encoders import load
from plait.models.encoders.load import ENCODERS, load_embedding


def test_an_encoder_in_the_list_takes_its_models_and_no_others(
    monkeypatch: pytest.MonkeyPatch, tiny_embedder: Path
) -> None:
    monkeypatch.setattr(load, "ENCODERS", (HashingEncoder.take, *ENCODERS))
    embedding = load_embedding("hash:64")
    near, far = embedding.encode_passages(["the rank of an adapter", "a store of chunks"])
    (question,) = embedding.encode_queries(["rank of adapter"])
    assert np.linalg.norm(near) == pytest.approx(1)
    assert question @ near > question @ far
    assert not isinstance(load_embedding(str(tiny_embedder), dtype="float32"), HashingEncoder)
