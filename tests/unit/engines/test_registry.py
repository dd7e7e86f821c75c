"""Which engine is made, and what is said when it cannot be, or cannot honour a setting."""

import gc
import sys
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any

import pytest

from plait.engines import registry
from plait.engines.registry import ENGINES, check_settings, make_engine
from plait.engines.settings import EngineSettings
from plait.engines.torch.engine import TorchEngine
from plait.errors import InvalidInput, ModelNotFound
from plait.serve.app import check, parse


def test_the_torch_engine_is_made_unless_another_is_asked_for(tiny_model: Path) -> None:
    engine = make_engine(EngineSettings(max_context_tokens=64, max_batch_size=1), tiny_model)
    assert isinstance(engine, TorchEngine)
    assert engine.max_context_tokens == 64


def test_pythons_collector_is_on_again_and_spares_what_a_start_made(tiny_model: Path, tmp_path: Path) -> None:
    gc.unfreeze()
    with pytest.raises(ModelNotFound):
        make_engine(EngineSettings(), tmp_path)
    assert gc.isenabled()
    assert not gc.get_freeze_count()
    try:
        make_engine(EngineSettings(max_context_tokens=64, max_batch_size=1), tiny_model)
        assert gc.isenabled()
        assert gc.get_freeze_count() > 10_000
    finally:
        gc.unfreeze()


def test_vllm_that_is_not_installed_is_said_before_anything_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "find_spec", lambda name: None)
    with pytest.raises(InvalidInput, match=r"'vllm' is not installed. Run: pip install 'plait\[vllm\]'"):
        check(parse({"llm": {"engine": "vllm"}, "retrieval": None}))
    assert "vllm" not in sys.modules


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        (
            {"engine": "vllm", "quantization": "int8"},
            r"'vllm' cannot do llm.quantization=int8\..* use llm.engine=torch",
        ),
        ({"engine": "vllm", "quantization": "nf4"}, r"'vllm' cannot do llm.quantization=nf4\."),
        ({"max_loras": 2}, r"'torch' has no llm.max_loras, which is 2\. Leave it out, or use llm.engine=vllm\."),
        ({"max_lora_rank": 128}, r"'torch' has no llm.max_lora_rank, which is 128\."),
    ],
)
def test_a_setting_that_an_engine_cannot_honour_is_refused_before_anything_starts(
    monkeypatch: pytest.MonkeyPatch, settings: dict[str, Any], sentence: str
) -> None:
    monkeypatch.setattr(registry, "find_spec", lambda name: ModuleSpec(name, None))
    with pytest.raises(InvalidInput, match=sentence):
        check(parse({"llm": settings, "retrieval": None}))


class Recording(EngineSettings):
    """Settings that notice which of them are read."""

    def __getattribute__(self, name: str) -> Any:
        if name in EngineSettings.model_fields:
            read.add(name)
        return super().__getattribute__(name)


read: set[str] = set()


@pytest.mark.parametrize("name", ENGINES)
def test_every_setting_is_honoured_or_refused_by_each_engine(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """A setting that is dropped would be read by nobody."""
    module = f"plait.engines.{name}.engine"
    given: dict[str, Any] = {}

    class Engine:
        def __init__(self, *_: Any, **arguments: Any) -> None:
            given.update(arguments)

    fake = type(sys)(module)
    fake.TorchEngine = fake.VLLMEngine = Engine  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, module, fake)
    monkeypatch.setattr(registry, "find_spec", lambda name: ModuleSpec(name, None))
    check_settings(EngineSettings(engine=name))  # type: ignore[arg-type]
    read.clear()
    ENGINES[name].make(Recording(), Path())
    refused = {each for kind in ENGINES.values() for each in kind.own_settings} - ENGINES[name].own_settings
    refused |= {"quantization"} if ENGINES[name].quantizations == {"none"} else set()
    elsewhere = {"model", "engine", "num_gpus", *({"max_loaded_adapters"} if name == "torch" else ())}
    assert set(EngineSettings.model_fields) - read - refused - elsewhere == set()
    assert given["max_step_tokens"] is None
