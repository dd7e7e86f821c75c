"""The length of a context and the size of the cache, where the settings leave them open."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from plait.engines import context_size as module
from plait.engines.context_size import ContextSize, bearable_bytes_of_machine, bytes_of_a_token, context_size

PLENTY = 10**9


@pytest.mark.parametrize(
    ("model_tokens", "batch", "bearable", "found"),
    [
        (32_768, 8, PLENTY, ContextSize(32_768, 32_768)),  # as many as 8 usual conversations
        (32_768, 32, PLENTY, ContextSize(32_768, 131_072)),
        (131_072, 8, PLENTY, ContextSize(131_072, 131_072)),  # one of the longest at least
        (131_072, 8, 44_000, ContextSize(44_000, 44_000)),  # what memory bears
        (131_072, 8, 100, ContextSize(4096, 4096)),
        (512, 8, PLENTY, ContextSize(512, 4096)),  # a full batch needs no more
        (512, 8, 0, ContextSize(512, 512)),
    ],
)
def test_an_open_context_is_what_the_model_was_made_for_and_memory_bears(
    model_tokens: int, batch: int, bearable: int, found: ContextSize
) -> None:
    assert context_size(model_tokens, batch, bearable) == found


def test_what_the_settings_say_is_so() -> None:
    assert context_size(32_768, 8, 0, max_context_tokens=4096) == ContextSize(4096, 32_768)
    assert context_size(512, 8, PLENTY, max_context_tokens=4096) == ContextSize(512, 4096)
    assert context_size(32_768, 8, PLENTY, kv_cache_tokens=1024) == ContextSize(1024, 1024)
    assert context_size(32_768, 8, 0, max_context_tokens=2048, kv_cache_tokens=1024) == ContextSize(2048, 1024)


def test_a_token_of_gemma_3_270m_takes_18_kib() -> None:
    config = SimpleNamespace(num_hidden_layers=18, num_key_value_heads=1, head_dim=256)
    assert bytes_of_a_token(config, 2) == 18 * 1024


def test_the_limit_of_a_container_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("psutil.virtual_memory", lambda: SimpleNamespace(total=64 << 30))
    for content, bytes_found in (("max\n", 16 << 30), (f"{8 << 30}\n", 2 << 30), (f"{2**63 - 4096}\n", 16 << 30)):
        limit = tmp_path / "memory.max"
        limit.write_text(content)
        monkeypatch.setattr(module, "_CGROUPS", (str(limit), str(tmp_path / "none")))
        assert bearable_bytes_of_machine() == bytes_found
