"""An engine in one file and one registration, as docs/extending.md shows it."""

import asyncio
from pathlib import Path

import pytest

from plait.engines.engine import Engine, GenerationRequest, Sampling
from plait.engines.registry import ENGINES, EngineKind, make_engine
from plait.engines.settings import EngineSettings
from plait.errors import ModelNotFound


def test_a_registered_engine_is_made_and_generates(tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import echo_engine

    monkeypatch.setitem(ENGINES, "echo", EngineKind(echo_engine.EchoEngine))  # also where a test took it away
    settings = EngineSettings(max_context_tokens=64).model_copy(update={"engine": "echo"})
    engine: Engine = make_engine(settings, tiny_model)

    async def answer(adapter: str | None) -> str:
        request = GenerationRequest("which version is installed?", Sampling(max_tokens=4), adapter)
        return "".join([delta.text async for delta in engine.generate(request)])

    assert "which version is installed?".endswith(asyncio.run(answer(None)))
    with pytest.raises(ModelNotFound, match="'nobody' is not loaded"):
        asyncio.run(answer("nobody"))
    engine.close()
