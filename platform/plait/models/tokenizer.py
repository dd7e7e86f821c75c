"""The tokenizer of a base model, and a rendered prompt through it.

In: a folder from `resolve_model`. Out: a transformers tokenizer. It imports transformers when the first tokenizer is
loaded, and never torch: most processes that know of prompts load no model.
"""

from pathlib import Path
from typing import Any

from plait.errors import ModelNotFound, first_line


def load_tokenizer(folder: Path) -> Any:
    """The fast tokenizer of a model folder, with a pad token.

    Raises:
        ModelNotFound: when the folder holds no tokenizer.
    """
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(folder)
    except (OSError, ValueError) as error:
        raise ModelNotFound(f"'{folder}' holds no tokenizer ({first_line(error)}).") from error
    # Many classes keep what their tokenizer was built from as Python objects too: 150 MB for Gemma's 262,144 tokens.
    for built_from in {"_vocab", "_merges"} & vars(tokenizer).keys():
        setattr(tokenizer, built_from, None)
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def encode_prompt(tokenizer: Any, text: str) -> list[int]:
    """Token ids of a rendered prompt, with exactly one BOS where the model uses one."""
    has_bos = bool(tokenizer.bos_token) and text.startswith(tokenizer.bos_token)
    ids: list[int] = tokenizer.encode(text, add_special_tokens=not has_bos)
    # Some tokenizers append EOS to an encoded text; a prompt must stay open.
    return ids[:-1] if len(ids) > 1 and ids[-1] == tokenizer.eos_token_id else ids
