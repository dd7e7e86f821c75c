"""One replica's adapters on the real engine and a tiny model: what is loaded ahead, followed, and survived."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from changed_settings import changed_settings

from plait.adapters.metadata import AdapterMetadata
from plait.adapters.registry import AdapterVersion
from plait.engines.torch.engine import TorchEngine
from plait.errors import InvalidInput, ModelNotFound
from plait.model_ids import AdapterRef
from plait.models.chat import ChatFormat
from plait.models.fingerprint import model_sha256
from plait.models.load import load_causal_lm
from plait.serve.adapters.lifecycle import AdapterLifecycle
from plait.serve.messages.arguments import LLMArguments


@pytest.fixture(scope="module")
def engine(tiny_model: Path) -> TorchEngine:
    return TorchEngine(tiny_model, dtype="float32")


@pytest.fixture(scope="module")
def plain(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An adapter as PEFT saves it, without plait.json."""
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(0)
    model = get_peft_model(load_causal_lm(tiny_model, "float32"), LoraConfig(r=4, target_modules="all-linear"))
    folder = tmp_path_factory.mktemp("plain")
    model.save_pretrained(folder)
    return folder


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    with changed_settings(home=tmp_path / "home"):
        yield tmp_path / "home"


def lifecycle(engine: TorchEngine, model: Path, store: Path, **arguments: Any) -> AdapterLifecycle:
    return AdapterLifecycle(engine, LLMArguments(model=str(model), adapter_stores=(str(store),), **arguments))


async def test_a_new_replica_serves_what_an_earlier_one_loaded(
    engine: TorchEngine, tiny_model: Path, plain: Path, home: Path
) -> None:
    await lifecycle(engine, tiny_model, plain).load("sales", str(plain), in_place=False)
    (key,) = engine.adapters()
    await engine.unload_adapter(key)  # as in a replica that just started
    later = lifecycle(engine, tiny_model, plain)
    await later.start()
    assert list(engine.adapters()) == [key]
    assert [(r.name, r.tier, r.rank) for r in later.residency()] == [("sales", "memory", 4)]
    await later.unload("sales")
    assert not engine.adapters()
    with pytest.raises(ModelNotFound, match="There is no adapter 'sales'"):
        async with later.lease(AdapterRef("sales")):
            pass


async def test_a_load_that_fails_serves_nothing_and_leaves_the_old_one_in_place(
    engine: TorchEngine, tiny_model: Path, plain: Path, home: Path, tmp_path: Path
) -> None:
    adapters = lifecycle(engine, tiny_model, tmp_path)
    good, bad = tmp_path / "good", tmp_path / "bad"
    for folder in (good, bad):
        folder.mkdir()
        for file in plain.iterdir():
            (folder / file.name).write_bytes(file.read_bytes())
    config = json.loads((bad / "adapter_config.json").read_text())
    (bad / "adapter_config.json").write_text(json.dumps(config | {"r": 8}))
    await adapters.load("sales", str(good), in_place=False)
    with pytest.raises(InvalidInput, match="do not match its configuration"):
        await adapters.load("sales", str(bad), in_place=True)
    async with adapters.lease(AdapterRef("sales")) as held:
        assert held.adapter.location == str(good)
    await adapters.unload("sales")


@pytest.mark.parametrize(
    ("template", "reason"),
    [
        ("{% for message in messages %}", "Unexpected end of template"),
        ("{{ raise_exception('never') }}", "never"),
        ("{% for i in range(10**9) %}x{% endfor %}", "raises a number to a power"),
    ],
)
async def test_a_chat_template_that_writes_nothing_is_refused_when_it_is_loaded(
    engine: TorchEngine, tiny_model: Path, plain: Path, home: Path, tmp_path: Path, template: str, reason: str
) -> None:
    folder = shutil.copytree(plain, tmp_path / "templated")
    about = AdapterMetadata(
        base_model=str(tiny_model),
        base_sha256=model_sha256(tiny_model),
        dataset_sha256="0",
        recipe={},
        method="lora",
        chat_format=ChatFormat(name="other", template=template),
        run_id="r",
        run_key="k",
        plait_version="0",
        created_at="2026-01-01",
    )
    about.write(folder)
    with pytest.raises(InvalidInput, match=reason):
        await lifecycle(engine, tiny_model, tmp_path).load("templated", str(folder), in_place=False)
    assert not engine.adapters()


@pytest.mark.parametrize("text", ["{", "[" * 100_000, "[]", '{"adapters": 5}', '{"last_generation": NaN}', ""])
async def test_a_served_set_that_cannot_be_read_costs_no_name_of_the_registry_and_is_not_overwritten(
    engine: TorchEngine, tiny_model: Path, plain: Path, home: Path, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (home / "adapters").mkdir(parents=True)
    file = home / "adapters" / "served.json"
    file.write_text(text)
    adapters = lifecycle(engine, tiny_model, plain)
    found = AdapterVersion("sales", 3, plain, SimpleNamespace())  # type: ignore[arg-type]
    monkeypatch.setattr(adapters.registry, "resolve", lambda ref: found)
    async with adapters.lease(AdapterRef("sales")) as held:
        assert held.adapter.key == "sales:3"
    with pytest.raises(InvalidInput, match=r"served.json' is no"):
        await adapters.load("other", str(plain), in_place=False)
    assert file.read_text() == text
    await engine.unload_adapter("sales:3")


async def test_a_served_entry_that_cannot_be_read_costs_only_itself(
    engine: TorchEngine, tiny_model: Path, plain: Path, home: Path
) -> None:
    await lifecycle(engine, tiny_model, plain).load("sales", str(plain), in_place=False)
    file = home / "adapters" / "served.json"
    served = json.loads(file.read_text())
    served["adapters"]["broken"] = {"name": "broken", "location": 5}
    file.write_text(json.dumps(served))
    later = lifecycle(engine, tiny_model, plain)
    assert [adapter.name for adapter in later.served()] == ["sales"]
    await later.load("broken", str(plain), in_place=False)
    assert {adapter.name for adapter in later.served()} == {"sales", "broken"}
    for name in ("sales", "broken"):
        await later.unload(name)


async def test_neither_a_missing_pinned_adapter_nor_a_broken_served_set_keeps_a_replica_from_starting(
    engine: TorchEngine, tiny_model: Path, plain: Path, home: Path
) -> None:
    (home / "adapters").mkdir(parents=True)
    (home / "adapters" / "served.json").write_text("{")
    adapters = lifecycle(engine, tiny_model, plain, pinned=("nobody@champion",), preload=("nothing:3",))
    await adapters.start()
    assert adapters.is_kept_up
