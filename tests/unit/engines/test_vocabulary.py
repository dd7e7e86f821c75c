"""The bytes of tokens, for tokenizers that write bytes as letters and for those that write them as `<0xE2>`."""

import pytest
from llguidance import LLTokenizer
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from plait.engines.vocabulary import Vocabulary
from plait.errors import InvalidInput

NAMES = {"unk_token": "<unk>", "bos_token": "<s>", "eos_token": "</s>"}
SPECIAL = {name: number for number, name in enumerate(NAMES.values())}


def byte_level() -> PreTrainedTokenizerFast:
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    bpe = Tokenizer(models.BPE({**SPECIAL, **{letter: 3 + i for i, letter in enumerate(letters)}}, merges=[]))
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=bpe, **NAMES)


def byte_fallback() -> PreTrainedTokenizerFast:
    vocabulary = {**SPECIAL, **{f"<0x{byte:02X}>": 3 + byte for byte in range(256)}, "▁": 259, "a": 260, "▁a": 261}
    bpe = Tokenizer(models.BPE(vocabulary, merges=[("▁", "a")], byte_fallback=True, unk_token="<unk>"))
    bpe.normalizer = normalizers.Replace(" ", "▁")
    bpe.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    return PreTrainedTokenizerFast(tokenizer_object=bpe, **NAMES)


@pytest.mark.parametrize("make", [byte_level, byte_fallback])
@pytest.mark.parametrize("text", ["a €a", "🦜", "a é\n", "नमस्ते"])
def test_the_bytes_of_tokens_make_up_the_text(make: object, text: str) -> None:
    tokenizer = make()  # type: ignore[operator]
    vocabulary = Vocabulary(tokenizer, [tokenizer.eos_token_id])
    tokens = tokenizer.encode(text, add_special_tokens=False)
    assert b"".join(vocabulary.utf8(token) for token in tokens) == text.encode()
    assert len(tokens) > len(text) / 2


@pytest.mark.parametrize("make", [byte_level, byte_fallback])
def test_parts_of_a_character_and_special_tokens_have_bytes_of_their_own(make: object) -> None:
    tokenizer = make()  # type: ignore[operator]
    vocabulary = Vocabulary(tokenizer, [tokenizer.eos_token_id])
    parts = [vocabulary.utf8(token) for token in tokenizer.encode("€", add_special_tokens=False)]
    assert parts == [b"\xe2", b"\x82", b"\xac"]
    assert [vocabulary.utf8(token) for token in range(3)] == [b"<unk>", b"<s>", b"</s>"]
    assert len(vocabulary) == len(tokenizer)


def test_a_tokenizer_that_pads_and_cuts_gives_whole_texts() -> None:
    tokenizer = byte_fallback()
    tokenizer.backend_tokenizer.enable_padding(length=9)
    tokenizer.backend_tokenizer.enable_truncation(2)
    vocabulary = Vocabulary(tokenizer, [])
    tokens = vocabulary.guidance.tokenize_str("aaaa")
    assert b"".join(vocabulary.utf8(token) for token in tokens) == b"aaaa"
    assert vocabulary.guidance.eos_token == tokenizer.eos_token_id


@pytest.mark.parametrize("make", [byte_level, byte_fallback])
def test_every_token_has_the_bytes_that_llguidance_reads(make: object) -> None:
    tokenizer = make()  # type: ignore[operator]
    tokenizer.add_tokens(["added ▁", "<table>"])
    vocabulary = Vocabulary(tokenizer, [tokenizer.eos_token_id])
    theirs = LLTokenizer(tokenizer.backend_tokenizer.to_str())
    assert vocabulary.guidance.vocab_size == theirs.vocab_size == len(tokenizer)
    for token in range(len(tokenizer)):
        assert vocabulary.utf8(token) == theirs.decode_bytes([token])
        assert vocabulary.guidance.is_special_token(token) == theirs.is_special_token(token)


@pytest.mark.parametrize("ids", [(261, 263), (259,), (1000, 300)])
def test_ids_may_have_holes(ids: tuple[int, ...]) -> None:
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    named = dict(zip(("</s>", "ab"), ids, strict=False))
    merges = [("a", "b")] if "ab" in named else []
    bpe = Tokenizer(models.BPE({**{letter: i for i, letter in enumerate(letters)}, **named}, merges=merges))
    bpe.pre_tokenizer, bpe.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=bpe, eos_token="</s>")
    vocabulary = Vocabulary(tokenizer, [tokenizer.eos_token_id])
    assert len(vocabulary) == max(ids) + 1
    assert vocabulary.guidance.eos_token == ids[0]
    assert [vocabulary.utf8(token) for token in ids] == [b"</s>", b"ab"][: len(ids)]
    tokens = tokenizer.encode("ab €", add_special_tokens=False)
    assert vocabulary.guidance.tokenize_str("ab €") == tokens
    assert b"".join(vocabulary.utf8(token) for token in tokens) == "ab €".encode()


def test_a_normalizer_that_puts_a_space_before_texts_puts_none_inside_of_them() -> None:
    tokenizer = byte_fallback()
    replace = normalizers.Replace(" ", "▁")
    tokenizer.backend_tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), replace])
    assert Vocabulary(tokenizer, []).guidance.tokenize_str("a") == [260]


def test_a_tokenizer_that_writes_no_bytes_is_refused() -> None:
    words = Tokenizer(models.WordLevel({**SPECIAL, "a": 3}, unk_token="<unk>"))
    with pytest.raises(InvalidInput, match="cannot be read as bytes"):
        Vocabulary(PreTrainedTokenizerFast(tokenizer_object=words, **NAMES), [])
