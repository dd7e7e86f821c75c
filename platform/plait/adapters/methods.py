"""Adapter methods: from a recipe's `adapter` section to trainable modules on a base model, and back from a folder.

In: a transformers causal language model and a config or an adapter folder. Out: the model with the adapter on it, of
PEFT or (bottleneck) with PEFT's surface. It knows nothing of training or serving.
"""

import logging
import warnings
from pathlib import Path
from typing import Any

from plait.adapters.config import read_adapter_config
from plait.errors import InvalidInput, first_line
from plait.recipes import BottleneckConfig, Ia3Config, LoraConfig, PrefixConfig

# What libraries tell each other: kernels that bitsandbytes does not find, a name that PEFT still uses of transformers.
logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing", category=FutureWarning)


def new_adapter(causal_lm: Any, config: LoraConfig | Ia3Config | PrefixConfig | BottleneckConfig) -> Any:
    """A fresh, trainable adapter on `causal_lm`, whose own weights are frozen.

    Raises:
        InvalidInput: when the base model has no such target modules.
    """
    if isinstance(config, BottleneckConfig):
        from plait.adapters.bottleneck import BottleneckModel
        from plait.adapters.config import BottleneckConfig as BottleneckSettings

        return BottleneckModel(
            causal_lm,
            BottleneckSettings(
                bottleneck_size=config.size,
                non_linearity=config.non_linearity,
                placement=config.placement,
                dropout=config.dropout,
            ),
        )
    from peft import get_peft_model

    try:
        return get_peft_model(causal_lm, _peft_config(config))
    except ValueError as error:
        raise InvalidInput(
            f"The adapter does not fit the base model ({first_line(error)}).",
            "Set adapter.target_modules to modules of this model (for lora also: all-linear).",
        ) from error


def _peft_config(config: LoraConfig | Ia3Config | PrefixConfig) -> Any:
    import peft

    match config:
        case LoraConfig():
            return peft.LoraConfig(
                r=config.rank,
                lora_alpha=config.alpha,
                lora_dropout=config.dropout,
                target_modules=config.target_modules,
                use_rslora=config.rslora,
                use_dora=config.dora,
                task_type="CAUSAL_LM",
            )
        case Ia3Config():
            return peft.IA3Config(
                target_modules=config.target_modules,
                feedforward_modules=config.feedforward_modules,
                task_type="CAUSAL_LM",
            )
        case PrefixConfig():
            return peft.PrefixTuningConfig(num_virtual_tokens=config.virtual_tokens, task_type="CAUSAL_LM")


def load_adapter(causal_lm: Any, folder: Path, is_trainable: bool = False) -> Any:
    """The adapter in `folder` on `causal_lm`.

    Raises:
        InvalidInput: when the folder's weights are not those that its configuration promises.
    """
    if read_adapter_config(folder).peft_type == "BOTTLENECK":
        from plait.adapters.bottleneck import BottleneckModel

        return BottleneckModel.from_pretrained(causal_lm, folder, is_trainable=is_trainable)
    from peft import PeftModel

    return PeftModel.from_pretrained(causal_lm, folder, is_trainable=is_trainable)
