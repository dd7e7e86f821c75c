"""An embedding model is loaded when it is first used, and once."""

import pytest

from plait.models.encoders import when_used
from plait.models.encoders.when_used import LoadedWhenUsed


def test_a_model_is_loaded_when_it_is_first_used(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded: list[str] = []

    class Model:
        dimension = 3

        def encode_queries(self, texts: list[str]) -> list[str]:
            return texts

        def encode_passages(self, texts: list[str], batch_size: int = 7) -> tuple[list[str], int]:
            return texts, batch_size

    monkeypatch.setattr(when_used, "load_embedding", lambda name: loaded.append(name) or Model())
    embedding = LoadedWhenUsed("package:x")
    assert (embedding.name, loaded) == ("package:x", [])
    assert (embedding.encode_passages(["a"]), embedding.encode_passages(["a"], 2)) == ((["a"], 7), (["a"], 2))
    assert (embedding.dimension, embedding.encode_queries(["b"])) == (3, ["b"])
    assert loaded == ["package:x"]
