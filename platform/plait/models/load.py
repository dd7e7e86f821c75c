"""Load a base model from a folder: type, 4-bit quantisation, device.

In: a folder from `resolve_model`. Out: transformers objects. It knows nothing of adapters, training or serving.
"""

import os
from pathlib import Path
from typing import Any, Literal

import torch

# transformers imports DeepSpeed where it is installed, which otherwise announces what hardware it does not find.
if not torch.cuda.is_available():
    os.environ.setdefault("DS_ACCELERATOR", "cpu")

from transformers import AutoConfig, AutoModelForCausalLM, BitsAndBytesConfig
from transformers.integrations import is_deepspeed_zero3_enabled
from transformers.utils import logging as transformers_logging

from plait.errors import ModelNotFound, first_line

transformers_logging.disable_progress_bar()


def load_causal_lm(
    folder: Path,
    dtype: Literal["bfloat16", "float32"] = "bfloat16",
    quantization: Literal["none", "nf4"] = "none",
    double_quantization: bool = True,
) -> Any:
    """A causal language model in eval mode, on the GPU of this process where there is one, else on the CPU.

    With `nf4` the linear layers are held in 4-bit NormalFloat (Dettmers et al. 2023, QLoRA,
    arXiv:2305.14314) and computed in `dtype`; double quantisation holds their scales in 8-bit too.

    Raises:
        ModelNotFound: when the folder holds no causal language model.
    """
    compute_dtype = getattr(torch, dtype)
    config = None
    if quantization == "nf4":
        config = BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=double_quantization,
            bnb_4bit_compute_dtype=compute_dtype,
        )
    device_map = None if is_deepspeed_zero3_enabled() else {"": "cuda" if torch.cuda.is_available() else "cpu"}
    try:
        model = AutoModelForCausalLM.from_pretrained(
            folder, dtype=compute_dtype, quantization_config=config, device_map=device_map
        )
    except (OSError, ValueError) as error:
        raise ModelNotFound(f"'{folder}' holds no causal language model ({first_line(error)}).") from error
    model.get_output_embeddings().register_forward_pre_hook(_contiguous)
    return model.eval()


def _contiguous(head: Any, inputs: tuple[torch.Tensor]) -> tuple[torch.Tensor]:
    """What the head gets is cut out of a prompt: left as it is, torch would copy a frozen head once for every row."""
    return (inputs[0].contiguous(),)


def context_length(folder: Path) -> int | None:
    """The most tokens that a model was made for; None where its config does not say.

    Raises:
        ModelNotFound: when the folder holds no config that transformers reads.
    """
    try:
        config = AutoConfig.from_pretrained(folder).get_text_config()
    except (OSError, ValueError) as error:
        raise ModelNotFound(f"'{folder}' holds no model config ({first_line(error)}).") from error
    return getattr(config, "max_position_embeddings", None)
