"""adapter_config.json as a stranger wrote it: bounds on every number, patterns in linear time, the rules of PEFT."""

import json
import time
from pathlib import Path
from typing import Any

import pytest
from peft import IA3Config, LoraConfig
from peft.tuners.tuners_utils import check_target_module_exists
from peft.utils.other import get_pattern_key

from plait.adapters.methods.ia3 import PeftIa3
from plait.adapters.methods.lora import PeftLora
from plait.adapters.methods.saved_config import read_adapter_config
from plait.errors import InvalidInput

MODULES = [
    f"model.layers.{layer}.{module}"
    for layer in (0, 1, 9, 11)
    for module in ("self_attn.q_proj", "self_attn.k_proj", "self_attn.o_proj", "mlp.down_proj", "mlp.gate_proj")
]
LORA = {"peft_type": "LORA", "r": 4, "lora_alpha": 8, "target_modules": ["q_proj"]}
IA3 = {"peft_type": "IA3", "target_modules": ["k_proj"]}
PREFIX = {"peft_type": "PREFIX_TUNING", "num_virtual_tokens": 4}
BOTTLENECK = {"peft_type": "BOTTLENECK", "bottleneck_size": 4}


def written(folder: Path, text: str) -> Path:
    (folder / "adapter_config.json").write_text(text)
    return folder


def read(folder: Path, **config: Any) -> Any:
    return read_adapter_config(written(folder, json.dumps(config)))


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e400", "-1e999"])
@pytest.mark.parametrize("field", ["r", "lora_alpha", "alpha_pattern", "rank_pattern", "lora_dropout", "init.scale"])
def test_a_number_that_is_not_finite_is_refused_wherever_it_stands(tmp_path: Path, field: str, number: str) -> None:
    value = f'{{"q_proj": {number}}}' if "pattern" in field else f"[1, {number}]" if "." in field else number
    text = json.dumps(LORA)[:-1] + f', "{field}": {value}}}'
    with pytest.raises(InvalidInput, match=r"adapter_config.json' is no valid JSON"):
        read_adapter_config(written(tmp_path, text))


@pytest.mark.parametrize(
    ("base", "changes", "where"),
    [
        (LORA, {"r": 0}, "r"),
        (LORA, {"r": -4}, "r"),
        (LORA, {"r": 4.5}, "r"),
        (LORA, {"r": "4"}, "r"),
        (LORA, {"r": True}, "r"),
        (LORA, {"r": 10**30}, "r"),
        (LORA, {"lora_alpha": 1e300}, "lora_alpha"),
        (LORA, {"lora_alpha": 10**400}, "lora_alpha"),
        (LORA, {"lora_alpha": None}, "lora_alpha"),
        (LORA, {"rank_pattern": {"q_proj": 0}}, "rank_pattern.q_proj"),
        (LORA, {"rank_pattern": ["q_proj"]}, "rank_pattern"),
        (LORA, {"rank_pattern": {f"m{i}": 1 for i in range(5000)}}, "rank_pattern"),
        (LORA, {"alpha_pattern": {"q_proj": -1e9}}, "alpha_pattern.q_proj"),
        (LORA, {"layers_to_transform": "0"}, "layers_to_transform"),
        (LORA, {"use_dora": "yes"}, "use_dora"),
        (LORA, {"target_modules": None}, "target_modules"),
        (LORA, {"target_modules": [["q_proj"]]}, "target_modules"),
        (IA3, {"feedforward_modules": 7}, "feedforward_modules"),
        (PREFIX, {"num_virtual_tokens": -1}, "num_virtual_tokens"),
        (PREFIX, {"num_virtual_tokens": 10**9}, "num_virtual_tokens"),
        (BOTTLENECK, {"bottleneck_size": 0}, "bottleneck_size"),
        (BOTTLENECK, {"non_linearity": "tanh"}, "non_linearity"),
        (BOTTLENECK, {"placement": "everywhere"}, "placement"),
    ],
)
def test_a_field_out_of_bounds_is_named(
    tmp_path: Path, base: dict[str, Any], changes: dict[str, Any], where: str
) -> None:
    with pytest.raises(InvalidInput, match=rf"is no adapter configuration\. The field '{where}' ") as refused:
        read(tmp_path, **(base | changes))
    assert "[" not in refused.value.what
    assert "validator" not in refused.value.what


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[" * 100_000, "is no valid JSON"),
        ('{"a":' * 100_000, "is no valid JSON"),
        ('{"peft_type": "LORA", "r": ' + "1" * 10_000 + "}", "is no valid JSON"),
        ('{"peft_type": "LORA", "target_modules": ["\\ud83d"]}', "is no valid JSON"),
        ("[]", "it has no peft_type"),
        ('{"peft_type": ["LORA"]}', "it has no peft_type"),
        ('{"peft_type": "LOHA"}', "LOHA, which cannot be served. Use one of LORA"),
        (json.dumps(LORA | {"comment": "x" * (5 << 20)}), "has more than the 4,194,304 bytes"),
    ],
    ids=range(8),
)
def test_a_file_that_is_no_configuration_is_one_sentence(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        read_adapter_config(written(tmp_path, text))


# ------------------------------------------------------------ patterns

HOSTILE = ["([a-z_.0-9]+)*X", "(.*)*X", "(a|a|[^X])*X", r"(\w+[._]?)+X"]


@pytest.mark.parametrize("pattern", HOSTILE)
@pytest.mark.parametrize(
    "field",
    ["target_modules", "exclude_modules", "rank_pattern", "alpha_pattern", "layers_pattern", "feedforward_modules"],
)
def test_a_pattern_that_backtracks_costs_no_time(tmp_path: Path, field: str, pattern: str) -> None:
    value: Any = {pattern: 2} if field.endswith("k_pattern") or field == "alpha_pattern" else pattern
    base = IA3 if field == "feedforward_modules" else LORA
    more = {"layers_to_transform": [0]} if field == "layers_pattern" else {}
    started = time.perf_counter()
    config = read(tmp_path, **(base | more | {field: value}))
    for module in MODULES:
        config.targets(module)
        if isinstance(config, PeftIa3):
            assert not config.is_feedforward(module)
        else:
            assert (config.rank(module), config.alpha(module)) == (4, 8)
    assert time.perf_counter() - started < 1  # Python's own expressions take years


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("target_modules", "("),
        ("target_modules", r"(?=q)q_proj"),
        ("exclude_modules", "[z-a]"),
        ("rank_pattern", {"*": 4}),
        ("rank_pattern", {"a)|(b": 4}),
        ("alpha_pattern", {"a{1001}": 4}),
        ("layers_pattern", ["h", "("]),
    ],
)
def test_what_is_no_pattern_is_refused_with_what_to_do(tmp_path: Path, field: str, value: Any) -> None:
    more = {"layers_to_transform": [0]} if field == "layers_pattern" else {}
    with pytest.raises(
        InvalidInput, match=r"cannot be matched in linear time .* list the names of the modules instead"
    ):
        read(tmp_path, **(LORA | more | {field: value}))


@pytest.mark.parametrize(
    "settings",
    [
        {"target_modules": ["q_proj", "mlp.down_proj", "model.layers.9.self_attn.o_proj"]},
        {"target_modules": r".*\.(q|k)_proj"},
        {"target_modules": r"model\.layers\.(\d)\.(self_attn|mlp)\.[qd].*"},
        {"target_modules": ["q_proj", "k_proj"], "exclude_modules": ["layers.1.self_attn.q_proj"]},
        {"target_modules": ["q_proj", "k_proj"], "exclude_modules": r".*\.1\..*"},
        {"target_modules": ["q_proj"], "layers_to_transform": [1, 11]},
        {"target_modules": ["q_proj"], "layers_to_transform": 1, "layers_pattern": "layers"},
        {"target_modules": ["q_proj"], "layers_to_transform": [9], "layers_pattern": ["h", "blocks"]},
    ],
)
def test_modules_are_those_that_peft_adapts(tmp_path: Path, settings: dict[str, Any]) -> None:
    config = read(tmp_path, **(LORA | settings))
    of_peft = LoraConfig(**settings)
    assert isinstance(config, PeftLora)
    expected = [module for module in MODULES if check_target_module_exists(of_peft, module)]
    assert [module for module in MODULES if config.targets(module)] == expected


def test_ranks_and_scalings_are_those_of_peft(tmp_path: Path) -> None:
    patterns = {"q_proj": 2, r"layers\.1\..*": 16, "down_proj": 32, "mlp.gate_proj": 64}
    config = read(tmp_path, **(LORA | {"rank_pattern": patterns, "alpha_pattern": patterns}))
    for module in MODULES:
        expected = patterns.get(get_pattern_key(list(patterns), module))
        assert config.rank(module) == (expected or 4)
        assert config.alpha(module) == (expected or 8)
    assert read(tmp_path, **(IA3 | {"feedforward_modules": ["down_proj"]})).is_feedforward(MODULES[3])
    assert IA3Config(feedforward_modules=["down_proj"], target_modules=["down_proj"]).feedforward_modules
    assert all(read(tmp_path, **(LORA | {"target_modules": "all-linear"})).targets(module) for module in MODULES)
