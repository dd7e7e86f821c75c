"""What a folder's configurations say of a model of BERT's kind; whatever is not understood says that it is not one."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from plait.models.encoders.bert.tokenizer import is_whole

GROUP = 64
"""Inputs that share a scale, as in int8_groups.h."""
_KINDS = ("bert", "xlm-roberta")
_POOLINGS = ("mean", "cls")


@dataclass(frozen=True)
class Shape:
    """`first_position`: number of the first token's position; `pooling`: mean or cls; lengths in tokens."""

    width: int
    inner: int
    heads: int
    layers: int
    epsilon: float
    first_position: int
    max_tokens: int
    pooling: str

    @classmethod
    def read(cls, folder: Path) -> "Shape | None":
        """Read config.json, what sentence-transformers keeps beside it, and how its tokenizer is made.

        None: it is no such model, or says something that is not understood. What is malformed raises, in many ways.
        """
        config = _json(folder / "config.json")
        others = [file for file in folder.glob("sentence_*_config.json") if file.name != "sentence_bert_config.json"]
        if not _is_understood(config) or others or (folder / "adapter_config.json").exists():
            return None
        if not is_whole(_json(folder / "tokenizer.json"), _json(folder / "tokenizer_config.json")):
            return None
        pooling, max_tokens = _pooling(folder), _max_tokens(folder, config)
        if pooling is None or max_tokens is None:
            return None
        first_position = 0 if config["model_type"] == "bert" else int(config["pad_token_id"]) + 1
        return cls(
            width=int(config["hidden_size"]),
            inner=int(config["intermediate_size"]),
            heads=int(config["num_attention_heads"]),
            layers=int(config["num_hidden_layers"]),
            epsilon=float(config["layer_norm_eps"]),
            first_position=first_position,
            max_tokens=min(max_tokens, int(config["max_position_embeddings"]) - first_position),
            pooling=pooling,
        )


def _is_understood(config: dict[str, Any]) -> bool:
    if config.get("model_type") not in _KINDS or config["hidden_act"] != "gelu":
        return False
    if config.get("position_embedding_type", "absolute") != "absolute" or config.get("is_decoder"):
        return False
    width, heads = int(config["hidden_size"]), int(config["num_attention_heads"])
    fits_registers = width % (16 * heads) == 0
    return width % GROUP == 0 and int(config["intermediate_size"]) % GROUP == 0 and fits_registers


def _max_tokens(folder: Path, config: dict[str, Any]) -> int | None:
    own = _json(folder / "sentence_bert_config.json")
    usual = {
        "do_lower_case": False,
        "transformer_task": "feature-extraction",
        "modality_config": {"text": {"method": "forward", "method_output_name": "last_hidden_state"}},
        "module_output_name": "token_embeddings",
    }
    if any(key != "max_seq_length" and value != usual.get(key) for key, value in own.items()):
        return None
    most = int(config["max_position_embeddings"])
    return int(own.get("max_seq_length") or min(_json(folder / "tokenizer_config.json")["model_max_length"], most))


def _pooling(folder: Path) -> str | None:
    """How the vectors of tokens become one, where that is all that follows them but a change of length."""
    file = folder / "modules.json"
    modules = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else []
    packages = {module["type"].partition(".")[0] for module in modules}
    names = [module["type"].rpartition(".")[2] for module in modules]
    if packages != {"sentence_transformers"} or names[:2] != ["Transformer", "Pooling"] or modules[0]["path"]:
        return None
    if names[2:] not in ([], ["Normalize"]):
        return None
    own = _json(folder / modules[1]["path"] / "config.json")
    legacy = [key for key, value in own.items() if key.startswith("pooling_mode_") and value]
    names_of_legacy = {"pooling_mode_mean_tokens": "mean", "pooling_mode_cls_token": "cls"}
    mode = own.get("pooling_mode") or (names_of_legacy.get(legacy[0]) if len(legacy) == 1 else None)
    return mode if mode in _POOLINGS and own.get("include_prompt", True) else None


def _json(file: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    return found
