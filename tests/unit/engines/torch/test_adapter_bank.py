"""Adapters of every method in one batch: each row gets the logits that PEFT computes for its adapter alone."""

import json
import random
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import IA3Config, LoraConfig, PrefixTuningConfig, get_peft_model
from safetensors.torch import load_file, save_file

from plait.adapters.methods.bottleneck.config import SavedBottleneck
from plait.adapters.methods.bottleneck.model import BottleneckModel
from plait.adapters.methods.saved_config import load_adapter
from plait.engines.torch.adapter_bank import AdapterBank
from plait.engines.torch.adapter_weights import AdapterWeights, read_adapter
from plait.engines.torch.decoder import Decoder
from plait.engines.torch.step import Span, pack
from plait.models.load import load_causal_lm

BLOCK = 4
PROJECTIONS = ["q_proj", "v_proj", "down_proj"]
METHODS: dict[str, Callable[[Any], Any]] = {
    "lora": lambda model: get_peft_model(model, LoraConfig(r=4, target_modules="all-linear", init_lora_weights=False)),
    "rslora": lambda model: get_peft_model(
        model,
        LoraConfig(
            r=8,
            lora_alpha=4,
            target_modules=PROJECTIONS,
            use_rslora=True,
            init_lora_weights=False,
            rank_pattern={"q_proj": 2},
            alpha_pattern={"layers.1.self_attn.v_proj": 16},
        ),
    ),
    "dora": lambda model: get_peft_model(
        model, LoraConfig(r=3, target_modules=PROJECTIONS, use_dora=True, init_lora_weights=False)
    ),
    "ia3": lambda model: get_peft_model(
        model, IA3Config(target_modules=["k_proj", "v_proj", "down_proj"], feedforward_modules=["down_proj"])
    ),
    "prefix": lambda model: get_peft_model(model, PrefixTuningConfig(num_virtual_tokens=6, task_type="CAUSAL_LM")),
    "houlsby": lambda model: BottleneckModel(model, SavedBottleneck(bottleneck_size=5, non_linearity="gelu")),
    "pfeiffer": lambda model: BottleneckModel(
        model, SavedBottleneck(bottleneck_size=3, non_linearity="relu", placement="pfeiffer")
    ),
    "houlsby too": lambda model: BottleneckModel(model, SavedBottleneck(bottleneck_size=7, non_linearity="gelu")),
}


@pytest.fixture(scope="module")
def folders(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """An adapter of every method, with weights far from those that change nothing."""
    made = {}
    for seed, (name, make) in enumerate(METHODS.items()):
        torch.manual_seed(seed)
        adapted = make(load_causal_lm(tiny_model, "float32"))
        with torch.no_grad():
            for parameter in adapted.parameters():
                if parameter.requires_grad:
                    parameter.add_(torch.randn_like(parameter) * 0.3)
        made[name] = tmp_path_factory.mktemp("adapter") / name.replace(" ", "-")
        adapted.save_pretrained(made[name])
    return made


@pytest.fixture(scope="module")
def decoder(tiny_model: Path) -> Decoder:
    return Decoder(load_causal_lm(tiny_model, "float32"), max_positions=256)


def tokens_of(name: str | None, count: int) -> list[int]:
    return [random.Random(f"{name}{count}").randrange(3, 250) for _ in range(count)]


@pytest.fixture(scope="module")
def expected(tiny_model: Path, folders: dict[str, Path]) -> Callable[[str | None, int], torch.Tensor]:
    models: dict[str | None, Any] = {None: load_causal_lm(tiny_model, "float32")}
    models |= {name: load_adapter(load_causal_lm(tiny_model, "float32"), folder) for name, folder in folders.items()}

    def logits(name: str | None, count: int) -> torch.Tensor:
        with torch.no_grad():
            result: torch.Tensor = models[name](torch.tensor([tokens_of(name, count)])).logits[0, -1]
        return result

    return logits


def add(bank: AdapterBank, name: str, adapter: AdapterWeights) -> None:
    bank.prepare(adapter)
    bank.add(name, adapter)


def compute(decoder: Decoder, bank: AdapterBank, rows: list[tuple[str | None, int]]) -> torch.Tensor:
    """Logits after each row's tokens, all rows in one step."""
    cache = decoder.key_values(200, BLOCK)
    spans, taken = [], 0
    for name, count in sorted(rows, key=lambda row: row[1] > 1):
        given = bank.loaded()[name].virtual_tokens if name else 0
        blocks = list(range(taken, taken + 20))
        taken += 20
        prefix = bank.loaded()[name].prefix if name else None
        if prefix is not None:
            slots = torch.arange(given) + blocks[0] * BLOCK
            for layer in range(decoder.layers):
                cache.write(layer, slots, *prefix[layer])
        spans.append(Span(tokens_of(name, count), given, blocks, is_wanted=True))
    step = pack(spans, BLOCK, decoder.dtype, decoder.device)
    ordered = sorted(rows, key=lambda row: row[1] > 1)
    return decoder.logits(decoder.forward(step, cache, bank.adaptation(ordered))[step.wanted])


def test_all_methods_in_one_batch_compute_what_peft_computes_for_each_alone(
    decoder: Decoder, folders: dict[str, Path], expected: Callable[[str | None, int], torch.Tensor]
) -> None:
    bank = AdapterBank(decoder)
    for name, folder in folders.items():
        add(bank, name, read_adapter(folder, decoder))
    base = expected(None, 9)
    rows: list[tuple[str | None, int]] = [(name, 9) for name in [None, *folders, None]]
    for row, logits in zip(rows, compute(decoder, bank, rows), strict=True):
        torch.testing.assert_close(logits, expected(*row), atol=2e-5, rtol=1e-3)
        if row[0] is not None:
            assert (logits - base).abs().max() > 0.05
    singles: list[tuple[str | None, int]] = [(name, 1) for name in [*folders, None]]
    for row, logits in zip(singles, compute(decoder, bank, singles), strict=True):
        torch.testing.assert_close(logits, expected(*row), atol=2e-5, rtol=1e-3)


def test_adapters_come_and_go_in_any_order(
    decoder: Decoder, folders: dict[str, Path], expected: Callable[[str | None, int], torch.Tensor]
) -> None:
    bank = AdapterBank(decoder)
    chance = random.Random(0)
    for _ in range(40):
        for name in folders:
            if name in bank and chance.random() < 0.2:
                bank.remove(name)
        rows: list[tuple[str | None, int]] = [
            (chance.choice([None, *folders]), chance.choice([1, 5])) for _ in range(chance.randint(1, 6))
        ]
        for name, _ in rows:
            if name is not None and name not in bank:
                add(bank, name, read_adapter(folders[name], decoder))
        ordered = sorted(rows, key=lambda row: row[1] > 1)
        for row, logits in zip(ordered, compute(decoder, bank, rows), strict=True):
            torch.testing.assert_close(logits, expected(*row), atol=2e-5, rtol=1e-3)


@pytest.mark.parametrize("name", ["lora", "dora", "houlsby", "pfeiffer"])
def test_an_adapter_whose_products_overflow_changes_nothing_for_others_nor_for_whoever_gets_its_slot(
    decoder: Decoder, folders: dict[str, Path], expected: Callable[[str | None, int], torch.Tensor], name: str
) -> None:
    bank = AdapterBank(decoder)
    for key in ("huge", *folders):
        add(bank, key, read_adapter(folders.get(key, folders[name]), decoder))
    for weight in _weights(bank.loaded()["huge"]):
        weight.mul_(5e37)
        assert weight.isfinite().all()
    rows: list[tuple[str | None, int]] = [(key, 9) for key in [None, "huge", *folders]]
    logits = dict(zip(rows, compute(decoder, bank, rows), strict=True))
    assert not logits["huge", 9].isfinite().any()
    for _ in ("beside them", "in their place"):
        for row in rows:
            if row[0] is None or row[0] in folders:
                torch.testing.assert_close(logits[row], expected(*row), atol=2e-5, rtol=1e-3)
        rows = [(None, 9), (name, 9)]
        bank.remove(name)
        add(bank, name, read_adapter(folders[name], decoder))
        logits = dict(zip(rows, compute(decoder, bank, rows), strict=True))


def _weights(adapter: AdapterWeights) -> list[torch.Tensor]:
    found: list[torch.Tensor] = []
    for site in adapter.sites.values():
        found += [site.low_rank.down, site.low_rank.up] if site.low_rank else []
        found += [*site.output_scale.values(), *([site.input_scale] if site.input_scale is not None else [])]
    for bottleneck in adapter.bottlenecks.values():
        found += [bottleneck.down, bottleneck.up]
    return found


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("lora", lambda c, w: c.update(r=8), r"lora_A has the shape \(4, 128\), not \(8, 128\)"),
        ("lora", lambda c, w: w.pop(min(w)), "do not match its configuration"),
        ("lora", lambda c, w: c.update(bias="all"), "trains biases"),
        ("lora", lambda c, w: c.update(alora_invocation_tokens=[5]), "is an aLoRA"),
        (
            "ia3",
            lambda c, w: w.update({"base_model.model.model.layers.9.mlp.down_proj.ia3_l": w[min(w)].clone()}),
            "layers.9",
        ),
        ("prefix", lambda c, w: c.update(num_virtual_tokens=7), r"prompt_embeddings has the shape"),
        ("houlsby", lambda c, w: w.pop("model.layers.1.mlp.up.bias"), "layers.1.mlp.up.bias is missing"),
        ("houlsby", lambda c, w: w.update(odd=w[min(w)].clone()), "unknown weight 'odd'"),
    ],
)
def test_weights_that_do_not_fit_are_named(
    decoder: Decoder,
    folders: dict[str, Path],
    tmp_path: Path,
    name: str,
    change: Callable[[dict[str, Any], dict[str, torch.Tensor]], None],
    message: str,
) -> None:
    changed_adapter(folders[name], tmp_path, change)
    with pytest.raises(ValueError, match=message):
        read_adapter(tmp_path, decoder)


Change = Callable[[dict[str, Any], dict[str, torch.Tensor]], None]


def changed_adapter(source: Path, target: Path, change: Change) -> None:
    """A copy of an adapter with another configuration, other weights, or both."""
    config = json.loads((source / "adapter_config.json").read_text())
    weights = {key: value.clone() for key, value in load_file(source / "adapter_model.safetensors").items()}
    change(config, weights)
    (target / "adapter_config.json").write_text(json.dumps(config))
    save_file(weights, target / "adapter_model.safetensors")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("name", [*METHODS])
def test_one_value_that_is_no_finite_number_is_refused_in_every_method(
    decoder: Decoder, folders: dict[str, Path], tmp_path: Path, name: str, value: float
) -> None:
    (tmp_path / name).mkdir()
    at_fault = []

    def change(_: dict[str, Any], weights: dict[str, torch.Tensor]) -> None:
        at_fault.append(max(weights))
        weights[at_fault[0]].flatten()[-1] = value

    changed_adapter(folders[name], tmp_path / name, change)
    with pytest.raises(ValueError, match=f"its weight '{re.escape(at_fault[0])}' has values that are not finite"):
        read_adapter(tmp_path / name, decoder)


def first(weights: dict[str, torch.Tensor], ending: str) -> str:
    return min(name for name in weights if name.endswith(ending))


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        (
            "lora",
            lambda c, w: w.update({first(w, "lora_B.weight"): w[first(w, "lora_B.weight")].double() + 1e200}),
            "lora_B.weight' has values beyond the range of float32",
        ),
        (
            "lora",
            lambda c, w: [c.update(lora_alpha=1e6), w[first(w, "lora_B.weight")].fill_(3e38)],
            r"lora_B \(times 250000\)' has values that are not finite",
        ),
        (
            "dora",
            lambda c, w: [
                w[first(w, "magnitude_vector")].fill_(3e38),
                c.update(lora_alpha=1e-30),
            ],
            "lora_magnitude_vector .*' has values that are not finite",
        ),
        (
            "ia3",
            lambda c, w: w.update({first(w, "ia3_l"): w[first(w, "ia3_l")].long()}),
            "is of the type int64, and not of real numbers",
        ),
    ],
)
def test_weights_that_are_finite_only_before_they_are_used_are_refused(
    decoder: Decoder, folders: dict[str, Path], tmp_path: Path, name: str, change: Change, message: str
) -> None:
    changed_adapter(folders[name], tmp_path, change)
    with pytest.raises(ValueError, match=message):
        read_adapter(tmp_path, decoder)


@pytest.mark.parametrize("name", ["lora", "dora", "ia3"])
def test_names_that_hold_the_name_of_pefts_adapter_are_read_as_peft_reads_them(
    decoder: Decoder, folders: dict[str, Path], tmp_path: Path, name: str
) -> None:
    def rename(_: dict[str, Any], weights: dict[str, torch.Tensor]) -> None:
        for key in list(weights):
            stem, _, last = key.rpartition(".")
            weights[f"{stem}.default.weight" if last == "weight" else f"{key}.default"] = weights.pop(key)

    changed_adapter(folders[name], tmp_path, rename)
    named, plain = read_adapter(tmp_path, decoder), read_adapter(folders[name], decoder)
    assert named.memory_bytes == plain.memory_bytes
    for site, weights in plain.sites.items():
        for module, scale in weights.output_scale.items():
            torch.testing.assert_close(named.sites[site].output_scale[module], scale)


def test_a_weight_under_both_of_its_names_is_refused(
    decoder: Decoder, folders: dict[str, Path], tmp_path: Path
) -> None:
    changed_adapter(
        folders["lora"],
        tmp_path,
        lambda c, w: w.update({first(w, "lora_A.weight").replace(".weight", ".default.weight"): torch.zeros(4, 64)}),
    )
    with pytest.raises(ValueError, match=r"lora_A\.weight' twice"):
        read_adapter(tmp_path, decoder)


@pytest.mark.parametrize("size", [(17 << 20), 2**63 - 1, 2**64 - 1])
def test_a_header_without_end_is_not_read(
    decoder: Decoder, folders: dict[str, Path], tmp_path: Path, size: int
) -> None:
    shutil.copy(folders["lora"] / "adapter_config.json", tmp_path)
    with (tmp_path / "adapter_model.safetensors").open("wb") as file:
        file.write(size.to_bytes(8, "little"))
        file.truncate(18 << 20)
    with pytest.raises(ValueError, match=r"has a header of [\d,]+ bytes"):
        read_adapter(tmp_path, decoder)


@pytest.mark.parametrize("name", ["lora", "ia3", "prefix", "houlsby"])
def test_weights_that_were_read_do_not_change_with_their_file(
    decoder: Decoder, folders: dict[str, Path], tmp_path: Path, name: str
) -> None:
    changed_adapter(folders[name], tmp_path, lambda c, w: None)
    adapter = read_adapter(tmp_path, decoder)
    with (tmp_path / "adapter_model.safetensors").open("r+b") as file:  # in place: no new file
        begin = 8 + int.from_bytes(file.read(8), "little")
        size = file.seek(0, 2)
        file.seek(begin)
        file.write(b"\xff" * (size - begin))
    tensors = [adapter.prefix] if adapter.prefix is not None else []
    for site in adapter.sites.values():
        tensors += [*site.output_scale.values()]
        tensors += [site.input_scale] if site.input_scale is not None else []
        tensors += [site.low_rank.down, site.low_rank.up] if site.low_rank else []
    for bottleneck in adapter.bottlenecks.values():
        tensors += [bottleneck.down, bottleneck.up]
    assert tensors
    assert all(torch.isfinite(tensor).all() for tensor in tensors)
