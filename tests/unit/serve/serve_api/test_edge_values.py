"""Values at the edge of what a field takes: answered, or refused with a sentence; never an error of the server."""

from typing import Any

import pytest
import torch
from fastapi.testclient import TestClient

from serve_api.fakes import CHAT, Fakes, error_of, post

HIGHEST = 2**63 - 1


@pytest.mark.parametrize("seed", [0, -1, -(2**63), HIGHEST])
def test_a_seed_is_any_number_of_64_bits_and_goes_round_with_n(client: TestClient, fakes: Fakes, seed: int) -> None:
    post(client, "/v1/chat/completions", CHAT | {"seed": seed, "n": 3})
    seeds = [call.sampling.seed for call in fakes.calls]
    assert seeds[0] == seed
    assert len(set(seeds)) == 3
    for one in seeds:
        assert one is not None
        assert -(2**63) <= one <= HIGHEST
        torch.Generator().manual_seed(one)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *(("seed", seed) for seed in (2**63, -(2**63) - 1, 2**64, 10**400)),
        ("max_tokens", 2**31),
        ("max_completion_tokens", 10**30),
        ("top_k", 2**63),
        ("n", 129),
        ("n", 10**30),
        ("top_logprobs", 10**30),
        ("stop", ""),
        ("stop", ["a", ""]),
        ("repetition_penalty", 1e-40),
        ("repetition_penalty", 1e40),
    ],
)
def test_a_number_out_of_bounds_is_named(client: TestClient, fakes: Fakes, field: str, value: Any) -> None:
    status, error = error_of(client, "/v1/chat/completions", CHAT | {"logprobs": True, field: value})
    assert (status, error["param"]) == (400, field)
    assert fakes.calls == []


@pytest.mark.parametrize(
    "model",
    [
        "",
        "org/base",
        "rag/",
        "rag/rag/base",
        "rag/auto",
        "base:3",
        "a:b:c",
        "x@",
        "x:",
        "a b",
        "\0",
        "x" * 10_000,
        "a:²",
        "a\n",
    ],
)
def test_a_model_that_cannot_be_is_not_there(client: TestClient, fakes: Fakes, model: str) -> None:
    bodies: list[tuple[str, dict[str, Any]]] = [
        ("/v1/chat/completions", CHAT),
        ("/v1/completions", {"prompt": "x"}),
        ("/v1/rag/query", {"query": "x"}),
        ("/v1/tokenize", {"prompt": "x"}),
        ("/v1/detokenize", {"tokens": [97]}),
    ]
    for path, body in bodies:
        status, error = error_of(client, path, body | {"model": model})
        assert (status, error["code"]) == (404, "model_not_found"), path
        assert "GET /v1/models" in error["message"]
        assert len(error["message"]) < 300
    assert fakes.calls == []
