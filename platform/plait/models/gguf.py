"""From a quantised GGUF file to plain bfloat16 safetensors, once.

The result is written aside and renamed, so a half-written model is never seen; a lock makes concurrent callers wait
for one conversion.
"""

import shutil
from functools import cache
from pathlib import Path

from filelock import FileLock

from plait.whole_files import whole_folder


def dequantise(gguf: Path, folder: Path) -> Path:
    """Write model and tokenizer of `gguf` to `folder` (config.json, model.safetensors, tokenizer.json); returns it."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{folder}.lock"):
        if (folder / "config.json").is_file():
            return folder
        from unittest.mock import patch

        import gguf as gguf_library
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig
        from transformers.utils import logging as transformers_logging

        transformers_logging.disable_progress_bar()
        print(f"making {folder.name} ready: dequantising it once, about half a minute", flush=True)
        # transformers reads the file's header three times: config, weights, tokenizer. With a vocabulary of 262,000
        # each takes ten seconds, so all three get the same reader.
        with patch.object(gguf_library, "GGUFReader", cache(gguf_library.GGUFReader)):
            model = AutoModelForCausalLM.from_pretrained(
                gguf.parent, gguf_file=gguf.name, quantization_config=GgufConfig(dequantize=True), dtype=torch.bfloat16
            )
            tokenizer = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
        shutil.rmtree(folder, ignore_errors=True)
        with whole_folder(folder, is_private=False) as aside:
            model.save_pretrained(aside)
            tokenizer.save_pretrained(aside)
    return folder
