"""What vLLM is given as an adapter, checked without vLLM: its method, its rank, and every one of its weights."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from plait.engines.vllm.adapters import check_lora
from plait.errors import InvalidInput

NAME = "base_model.model.model.layers.0.self_attn.q_proj"


def lora(folder: Path, up: float = 1.0, down: float = 1.0, **config: Any) -> Path:
    saved = {"peft_type": "LORA", "r": 4, "lora_alpha": 8, "target_modules": ["q_proj"]} | config
    (folder / "adapter_config.json").write_text(json.dumps(saved))
    weights = {f"{NAME}.lora_A.weight": torch.full((4, 8), down), f"{NAME}.lora_B.weight": torch.full((8, 4), up)}
    save_file(weights, folder / "adapter_model.safetensors")
    return folder


def test_the_highest_rank_counts(tmp_path: Path) -> None:
    assert check_lora("a:1", lora(tmp_path, rank_pattern={"q_proj": 8}), torch.bfloat16, 8) == 8
    with pytest.raises(InvalidInput, match=r"has rank 8, above the 4 that vLLM has room for\. .*max_lora_rank"):
        check_lora("a:1", tmp_path, torch.bfloat16, 4)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"up": float("nan")}, "lora_B.weight' has values that are not finite"),
        ({"down": float("inf")}, "lora_A.weight' has values that are not finite"),
        ({"down": 1e30}, "lora_A.weight' has values beyond the range of float16"),
        ({"up": 60_000.0}, r"lora_B.weight \(scaled\)' has values that are not finite"),
    ],
)
def test_weights_that_are_not_finite_never_reach_vllm(tmp_path: Path, values: dict[str, float], message: str) -> None:
    with pytest.raises(InvalidInput, match=rf"'a:1' cannot be loaded .*{message}"):
        check_lora("a:1", lora(tmp_path, **values), torch.float16, 64)


@pytest.mark.parametrize(
    ("values", "weight"),
    [
        ({"up": 1e25}, r"lora_B.weight \(scaled\)"),
        ({"down": 1e25}, "lora_A.weight"),
        ({"down": 501.0}, "lora_A.weight"),
        ({"up": 251.0}, r"lora_B.weight \(scaled\)"),
        ({"up": 1e-20, "down": 1e20}, "lora_A.weight"),
        ({"lora_alpha": 10_000}, r"lora_B.weight \(scaled\)"),
    ],
)
def test_weights_with_which_sums_may_overflow_never_reach_vllm(
    tmp_path: Path, values: dict[str, float], weight: str
) -> None:
    with pytest.raises(
        InvalidInput, match=rf"'a:1' cannot be loaded .*'base_model.*{weight}' has rows or columns longer"
    ):
        check_lora("a:1", lora(tmp_path, **values), torch.float32, 64)
    assert check_lora("a:1", lora(tmp_path, up=249.0, down=499.0), torch.bfloat16, 64) == 4


@pytest.mark.parametrize("field", ["rank_pattern", "alpha_pattern"])
@pytest.mark.parametrize("pattern", ["([a-z_.0-9]+)*X", ".*.*.*.*.*.*.*.*X", "(a?){60}a", "(q_proj|k_proj)+"])
def test_a_pattern_that_vllm_would_match_without_an_end_is_refused(tmp_path: Path, field: str, pattern: str) -> None:
    with pytest.raises(InvalidInput, match="which vLLM matches without an end"):
        check_lora("a:1", lora(tmp_path, **{field: {pattern: 4}}), torch.bfloat16, 64)
    for harmless in ("q_proj", r"^model\.layers\.0\.self_attn\.q_proj", "layers.(0|1).self_attn.q_proj"):
        check_lora("a:1", lora(tmp_path, **{field: {harmless: 4}}), torch.bfloat16, 64)


def test_the_scaling_of_a_module_counts(tmp_path: Path) -> None:
    folder = lora(tmp_path, up=3000.0, alpha_pattern={"q_proj": 400.0})
    with pytest.raises(InvalidInput, match=r"lora_B.weight \(scaled\)'"):
        check_lora("a:1", folder, torch.float16, 64)


@pytest.mark.parametrize(
    ("config", "kind"), [({"use_dora": True}, "DoRA"), ({"peft_type": "IA3", "target_modules": ["k_proj"]}, "IA3")]
)
def test_a_method_that_vllm_does_not_serve_is_refused(tmp_path: Path, config: dict[str, Any], kind: str) -> None:
    with pytest.raises(InvalidInput, match=rf"is no LoRA \({kind}\)"):
        check_lora("a:1", lora(tmp_path, **config), torch.bfloat16, 64)
