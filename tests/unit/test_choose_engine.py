"""Which engine is made, and what is said when it cannot be."""

import gc
import sys
from importlib.machinery import ModuleSpec
from pathlib import Path

import pytest

from plait.engines.torch.engine import TorchEngine
from plait.errors import InvalidInput, ModelNotFound
from plait.serve.app import check, parse
from plait.serve.deployments import choose_engine
from plait.serve.messages.arguments import LLMArguments


def test_the_torch_engine_is_made_unless_another_is_asked_for(tiny_model: Path) -> None:
    engine = choose_engine.make_engine(LLMArguments(max_context_tokens=64, max_batch_size=1), tiny_model)
    assert isinstance(engine, TorchEngine)
    assert engine.max_context_tokens == 64


def test_pythons_collector_is_on_again_and_spares_what_a_start_made(tiny_model: Path, tmp_path: Path) -> None:
    gc.unfreeze()
    with pytest.raises(ModelNotFound):
        choose_engine.make_engine(LLMArguments(), tmp_path)
    assert gc.isenabled()
    assert not gc.get_freeze_count()
    try:
        choose_engine.make_engine(LLMArguments(max_context_tokens=64, max_batch_size=1), tiny_model)
        assert gc.isenabled()
        assert gc.get_freeze_count() > 10_000
    finally:
        gc.unfreeze()


def test_vllm_that_is_not_installed_is_said_before_anything_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choose_engine, "find_spec", lambda name: None)
    with pytest.raises(InvalidInput, match=r"'vllm' is not installed. Run: pip install 'plait\[vllm\]'"):
        check(parse({"llm": {"engine": "vllm"}, "retrieval": None}))
    assert "vllm" not in sys.modules


def test_a_quantisation_that_vllm_does_not_do_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choose_engine, "find_spec", lambda name: ModuleSpec(name, None))
    with pytest.raises(InvalidInput, match=r"llm.quantization=int8 is the torch engine's.*llm.engine=torch"):
        choose_engine.check_engine(LLMArguments(engine="vllm", quantization="int8"))
