"""The tokens of a model as bytes: a character may be cut between tokens, so a token alone need not be text.

In: a tokenizer. Out: each token's own bytes, whether it writes bytes as letters (byte-level BPE) or as `<0xE2>`
(SentencePiece), by llguidance, whose grammars need them too. Knows no requests.
"""

from collections.abc import Iterable
from typing import Any


class Vocabulary:
    """One tokenizer's tokens.

    Building it holds Python's lock for seconds (4 with Gemma's 262,144 tokens, half of it reading the tokenizer), so it
    is built before there are requests.

    Args:
        tokenizer: a fast transformers tokenizer, which pads and cuts only where a call says so from now on.
        end_ids: tokens that end an answer.

    Attributes:
        guidance: the same for llguidance.
    """

    def __init__(self, tokenizer: Any, end_ids: Iterable[int]) -> None:
        from llguidance import LLTokenizer

        # `llguidance.hf.from_tokenizer` does the same on a copy, which is one more reading of the whole tokenizer.
        backend = tokenizer.backend_tokenizer
        backend.no_padding()
        backend.no_truncation()
        self.guidance = LLTokenizer(backend.to_str(), eos_token=sorted(end_ids) or tokenizer.eos_token_id)
        self._size = len(tokenizer)

    def __len__(self) -> int:
        return self._size

    def utf8(self, token: int) -> bytes:
        """A token's bytes; those of its name for a special token."""
        return bytes(self.guidance.decode_bytes([token]))
