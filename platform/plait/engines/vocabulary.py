"""The tokens of a model as bytes: a character may be cut between tokens, so a token alone need not be text.

In: a tokenizer. Out: each token's own bytes, whether it writes bytes as letters (byte-level BPE) or as `<0xE2>`
(SentencePiece), and the same for llguidance, whose grammars need them too. Knows no requests.
"""

import json
import re
from collections.abc import Callable, Iterable
from typing import Any

from plait.errors import InvalidInput

_BYTE = re.compile("<0x([0-9A-Fa-f]{2})>")


class Vocabulary:
    """One tokenizer's tokens.

    Building it holds Python's lock for a second or two (with Gemma's 262,144 tokens), so it is built before there are
    requests.

    Args:
        tokenizer: a fast transformers tokenizer, which pads and cuts only where a call says so from now on.
        end_ids: tokens that end an answer.

    Attributes:
        guidance: the same for llguidance.

    Raises:
        InvalidInput: when the tokenizer writes bytes in neither way.
    """

    def __init__(self, tokenizer: Any, end_ids: Iterable[int]) -> None:
        from llguidance import LLTokenizer, TokenizerWrapper

        backend = tokenizer.backend_tokenizer
        backend.no_padding()
        backend.no_truncation()
        # From a tokenizer's own text llguidance would read it a second time, and keep it: 95 MB for Gemma.
        source = _ForGuidance(tokenizer)
        added = backend.get_added_tokens_decoder().items()
        self._special = frozenset(token for token, about in added if about.special)
        wrapper = TokenizerWrapper(source)
        # Slices, tries of their own for strings of JSON, would make a mask in 0.03 ms, not 0.11 ms, for 75 MB.
        self.guidance = LLTokenizer(wrapper, eos_token=sorted(end_ids) or tokenizer.eos_token_id, slices=[])
        source.tokens = wrapper.tokens = ()  # it has its own copy now
        self._size: int = self.guidance.vocab_size

    def __len__(self) -> int:
        """One more than the highest id; ids without a token count."""
        return self._size

    def is_special(self, token: int) -> bool:
        """Whether it is a control token, which is left out of a text unless that is asked for."""
        return token in self._special

    def utf8(self, token: int) -> bytes:
        """A token's bytes; those of its name for a special token."""
        return bytes(self.guidance.decode_bytes([token]))


class _ForGuidance:
    """A tokenizer as `TokenizerWrapper` reads it. What is called is for text that stands inside of an answer."""

    def __init__(self, tokenizer: Any) -> None:
        backend = tokenizer.backend_tokenizer
        self.eos_token_id, self.bos_token_id = tokenizer.eos_token_id, tokenizer.bos_token_id
        added = backend.get_added_tokens_decoder().items()
        # As llguidance itself has it: <table> and <start_of_image> are no parts of a text that follows a schema.
        special = {t for t, about in added if about.special or re.fullmatch("<.+>", about.content)}
        self.special_token_ids = sorted(special)
        self._backend = _without_prefix(backend)
        to_bytes = _bytes_of(backend)
        ids = backend.get_vocab(with_added_tokens=True)
        names = [""] * (max(ids.values()) + 1)  # ids may have holes: their number says nothing of the highest
        for name, token in ids.items():
            names[token] = name
        self.tokens: Any = [name.encode() if token in special else to_bytes(name) for token, name in enumerate(names)]

    def __call__(self, text: str) -> list[int]:
        ids: list[int] = self._backend.encode(text, add_special_tokens=False).ids
        return ids


def _bytes_of(backend: Any) -> Callable[[str], bytes]:
    """What gives the bytes of a token's name, as the tokenizer's decoder would."""
    decoder = json.loads(backend.decoder.__getstate__()) if backend.decoder else {"type": "none"}
    steps = {step["type"]: step for step in decoder.get("decoders", [decoder])}
    if "ByteLevel" in steps:
        byte_of = {letter: byte for byte, letter in enumerate(_letters_of_bytes())}

        def from_letters(name: str) -> bytes:
            is_written_so = byte_of.keys() >= set(name)  # not always a token that was added later
            return bytes(byte_of[letter] for letter in name) if is_written_so else name.encode()

        return from_letters
    if "ByteFallback" not in steps:
        raise InvalidInput(
            f"The tokenizer's tokens cannot be read as bytes (decoder: {decoder['type']}).",
            "Serve a model with a byte-level or SentencePiece tokenizer.",
        )
    replace = steps.get("Replace", {})
    space = replace.get("pattern", {}).get("String", " ") if replace.get("content") == " " else " "

    def from_pieces(name: str) -> bytes:
        byte = _BYTE.fullmatch(name)
        return bytes.fromhex(byte[1]) if byte else name.replace(space, " ").encode()

    return from_pieces


def _letters_of_bytes() -> list[str]:
    """The letter that stands for each byte in byte-level BPE (Radford et al. 2019, GPT-2).

    A byte that is a visible letter of Latin-1 stands for itself; the others are the letters from U+0100 on.

    >>> "".join(_letters_of_bytes()[byte] for byte in b"a b")
    'aĠb'
    """
    itself = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    others = iter(range(0x100, 0x200))
    return [chr(byte if byte in itself else next(others)) for byte in range(256)]


def _without_prefix(backend: Any) -> Any:
    """A tokenizer that puts no space before a text: the same, unless its normalizer does."""
    from tokenizers import Tokenizer

    normalizer = json.loads(backend.normalizer.__getstate__()) if backend.normalizer else {}
    steps = normalizer.get("normalizers", [normalizer])
    kept = [step for step in steps if step.get("type") != "Prepend"]
    if kept == steps:
        return backend
    written = json.loads(backend.to_str())
    return Tokenizer.from_str(json.dumps(written | {"normalizer": {"type": "Sequence", "normalizers": kept}}))
