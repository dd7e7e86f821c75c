"""Adapters that PEFT makes and loads, with its errors as sentences. PEFT is imported when the first one is needed."""

import logging
import warnings
from pathlib import Path
from typing import Any

from plait.errors import InvalidInput, first_line

# What libraries tell each other: kernels that bitsandbytes does not find, a name that PEFT still uses of transformers.
logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing", category=FutureWarning)


def new_peft_adapter(causal_lm: Any, config: Any) -> Any:
    """A fresh, trainable adapter of a `peft.PeftConfig` on `causal_lm`, whose own weights are frozen.

    Raises:
        InvalidInput: when the base model has no such target modules.
    """
    from peft import get_peft_model

    try:
        return get_peft_model(causal_lm, config)
    except ValueError as error:
        raise InvalidInput(
            f"The adapter does not fit the base model ({first_line(error)}).",
            "Set adapter.target_modules to modules of this model (for lora also: all-linear).",
        ) from error


def load_peft_adapter(causal_lm: Any, folder: Path, is_trainable: bool) -> Any:
    """The adapter of PEFT in `folder` on `causal_lm`."""
    from peft import PeftModel

    return PeftModel.from_pretrained(causal_lm, folder, is_trainable=is_trainable)
