"""The shape of a model, without its weights, and how many parameters an adapter trains on it.

In: a model source. Out: an `Architecture`: parameters counted by building the model on the meta device, which holds
shapes and no numbers, and the widths that the memory of a training step follows from. Well-known hub ids come from a
table, so that planning needs no hub. The code that trains an adapter puts it on the meta model, so that count is exact
for every method. It knows nothing of GPUs or memory.
"""

from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml

from plait.adapters.methods.method import LayerLinear, MethodConfig
from plait.errors import ModelNotFound, did_you_mean, first_line


@dataclass(frozen=True)
class Architecture:
    """Widths of a decoder-only language model.

    `linear_parameters` are those that 4-bit quantisation packs: weights of linear layers except the head.
    `body_parameters` are the weights that a token is multiplied with, the head excepted.
    `norm_widths` are what every norm of one decoder layer sees of a token (a norm of every head: all heads together).
    """

    source: str
    model_type: str
    config: Any
    parameters: int
    linear_parameters: int
    body_parameters: int
    layers: int
    hidden: int
    intermediate: int
    heads: int
    key_value_heads: int
    head_width: int
    vocabulary: int
    is_tied: bool
    is_gated: bool
    has_rms_norms: bool
    norm_widths: tuple[int, ...]
    layer_linears: tuple[LayerLinear, ...]

    @property
    def query_width(self) -> int:
        return self.heads * self.head_width

    @property
    def key_width(self) -> int:
        return self.key_value_heads * self.head_width

    @property
    def head_parameters(self) -> int:
        """Weights of the output head, which may be those of the embeddings too."""
        return self.vocabulary * self.hidden


def known_models() -> dict[str, dict[str, Any]]:
    """Config fields of the models that can be planned for without a hub, by id."""
    return {model_id: entry["config"] for entry in _table() for model_id in entry["ids"]}


def published_parameters() -> dict[str, int]:
    """How many parameters the hub says that each of these models has."""
    return {model_id: entry["parameters"] for entry in _table() for model_id in entry["ids"]}


@cache
def _table() -> list[dict[str, Any]]:
    table: list[dict[str, Any]] = yaml.safe_load((files("plait.jobs.plan") / "models.yaml").read_text("utf-8"))
    return table


@cache
def architecture_of(source: str) -> Architecture:
    """The architecture of a model source: an id of the table, a folder, package:NAME, or another hub id.

    Raises:
        ModelNotFound: when there is no such model, with the nearest names that there are.
    """
    config = _config(source)
    causal_lm = meta_model(config)
    text = config.get_text_config()
    head = causal_lm.get_output_embeddings()
    linears = {name: m for name, m in causal_lm.named_modules() if _is_linear(m) and m is not head}
    layer = _decoder_layers(causal_lm, text.num_hidden_layers)[0]
    heads = text.num_attention_heads
    hidden = text.hidden_size
    head_width = getattr(text, "head_dim", None) or hidden // heads
    key_value_heads = getattr(text, "num_key_value_heads", None) or heads
    norms = [(name, m) for name, m in layer.named_modules() if type(m).__name__.endswith("Norm")]
    leaves = {name.rpartition(".")[2] for name, m in layer.named_modules() if _is_linear(m)}
    return Architecture(
        source=source,
        model_type=config.model_type,
        config=config,
        parameters=sum(p.numel() for p in causal_lm.parameters()),
        linear_parameters=sum(m.weight.numel() for m in linears.values()),
        # A tower for images or sound holds memory, but no text goes through it.
        body_parameters=sum(m.weight.numel() for name, m in linears.items() if not _is_tower(name)),
        layers=text.num_hidden_layers,
        hidden=hidden,
        intermediate=getattr(text, "intermediate_size", None) or 4 * hidden,
        heads=heads,
        key_value_heads=key_value_heads,
        head_width=head_width,
        vocabulary=text.vocab_size,
        is_tied=head is not None and head.weight is causal_lm.get_input_embeddings().weight,
        is_gated=bool(leaves & {"gate_proj", "gate_up_proj", "w1"}),
        has_rms_norms=any("RMS" in type(m).__name__ for _, m in norms),
        norm_widths=tuple(_norm_width(name, m, hidden, heads, key_value_heads) for name, m in norms),
        layer_linears=tuple(
            LayerLinear(name, m.in_features, m.out_features) for name, m in layer.named_modules() if _is_linear(m)
        ),
    )


def meta_model(config: Any) -> Any:
    """The model of a transformers config, without memory for its weights."""
    import torch
    from transformers import AutoModelForCausalLM

    with torch.device("meta"):
        return AutoModelForCausalLM.from_config(config)


def trained_parameters(source: str, adapter: MethodConfig) -> int:
    """Parameters that `adapter` trains on the model of a source.

    Raises:
        InvalidInput: when the adapter does not fit the model.
    """
    # The config as text: a frozen model that holds lists cannot be a key.
    return _trained_parameters(source, adapter.model_dump_json(), type(adapter))


@cache
def _trained_parameters(source: str, adapter: str, kind: type[MethodConfig]) -> int:
    shape, config = architecture_of(source), kind.model_validate_json(adapter)
    if config.trains_base:
        return shape.parameters
    import torch

    causal_lm = meta_model(shape.config)
    with torch.device("meta"):
        adapted = config.new_adapter(causal_lm)
    return sum(p.numel() for p in adapted.parameters() if p.requires_grad)


def _config(source: str) -> Any:
    from transformers import AutoConfig

    known = known_models().get(source)
    if known is not None:
        return AutoConfig.for_model(known["model_type"], **{k: v for k, v in known.items() if k != "model_type"})
    is_hub_id = not source.startswith("package:") and not Path(source).expanduser().exists()
    try:
        if not is_hub_id:
            from plait.models.source import resolve_model

            return AutoConfig.from_pretrained(resolve_model(source))
        return AutoConfig.from_pretrained(source)
    except (OSError, ValueError) as error:
        if not is_hub_id:
            raise ModelNotFound(f"'{source}' has no config that transformers reads ({first_line(error)}).") from error
        raise ModelNotFound(
            f"There is no folder '{source}', its config could not be fetched from the hub, and it is not one of the "
            "models that can be planned for without a hub.",
            did_you_mean(source, known_models()),
        ) from error


def _is_linear(module: Any) -> bool:
    from torch import nn

    return isinstance(module, nn.Linear)


def _is_tower(name: str) -> bool:
    return any(part in name for part in ("vision", "audio", "multi_modal_projector"))


def _decoder_layers(causal_lm: Any, count: int) -> Any:
    """The list of decoder layers: of the lists of that length the one with most parameters."""
    from torch import nn

    lists = [m for m in causal_lm.modules() if isinstance(m, nn.ModuleList) and len(m) == count]
    if not lists:
        raise ModelNotFound(
            f"{type(causal_lm).__name__} is not built of {count} decoder layers, so Plait cannot plan for it.",
            "Use a decoder-only language model.",
        )
    return max(lists, key=lambda layers: sum(p.numel() for p in layers.parameters()))


def _norm_width(name: str, norm: Any, hidden: int, heads: int, key_value_heads: int) -> int:
    weight = getattr(norm, "weight", None)
    width = hidden if weight is None else int(weight.shape[-1])
    if width == hidden or "norm" not in name.rpartition(".")[2]:
        return width
    # A norm of every head: q_norm, k_norm.
    leaf = name.rpartition(".")[2]
    return width * (heads if leaf.startswith("q") else key_value_heads if leaf.startswith("k") else 1)
