"""Texts that are longer than an embedding model reads: refused by number and length, cut, or read in windows."""

from collections.abc import Sequence
from typing import get_args

import numpy as np
import pytest
from tokenizers import Tokenizer
from tokenizers.decoders import WordPiece as Joined
from tokenizers.models import BPE, WordPiece
from tokenizers.pre_tokenizers import ByteLevel, Whitespace
from tokenizers.processors import TemplateProcessing

from plait.errors import InvalidField
from plait.models.embedding import Embedding
from plait.models.encoders.tokens import TextTokens
from plait.models.long_texts import LongTexts, ReadText, Treatment, joined, read_texts
from plait.models.vectors import NO_PROMPTS, Vectors

WORDS = ["[UNK]", "[CLS]", "[SEP]", "ray", "runs", "tasks", "un", "##load", "##s", "milvus"]
IDS = {word: i for i, word in enumerate(WORDS)}


def tokenizer() -> Tokenizer:
    made = Tokenizer(WordPiece(IDS, unk_token="[UNK]"))
    made.pre_tokenizer = Whitespace()
    made.decoder = Joined()
    made.add_special_tokens(["[UNK]", "[CLS]", "[SEP]"])
    made.post_processor = TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 1), ("[SEP]", 2)])
    return made


class Model:
    """Reads 6 tokens, of which 2 are special. Its vectors count words."""

    name, max_tokens, dimension, prompts = "small", 6, 2, NO_PROMPTS

    def __init__(self) -> None:
        self.text_tokens: TextTokens | None = TextTokens(tokenizer())

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        return TextTokens(tokenizer()).count(texts)

    def encode_passages(self, texts: Sequence[str], batch_size: int = 0) -> Vectors:
        raise NotImplementedError

    def encode_queries(self, texts: Sequence[str]) -> Vectors:
        raise NotImplementedError


LONG = "ray runs tasks milvus ray runs tasks"


def read(text: str | list[int], long_texts: LongTexts | None = None, prompt: str = "") -> ReadText:
    model: Embedding = Model()
    (found,) = read_texts(model, [text], prompt, long_texts or LongTexts())
    return found


def test_a_text_that_the_model_reads_stays_as_it_is() -> None:
    for treatment in get_args(Treatment):
        assert read("ray  runs", LongTexts(treatment)) == ReadText(("ray  runs",), (4,))


def test_a_longer_one_is_refused_by_its_number_and_its_length() -> None:
    with pytest.raises(InvalidField, match=r"Input 1 has 9 tokens, and 'small' reads 6\. .*truncate: \"END\"") as told:
        read_texts(Model(), ["ray", LONG], "", LongTexts())
    assert told.value.field == "input"
    with pytest.raises(InvalidField, match="Input 0 has 5000 characters"):
        read("a" * 5000)


def test_the_prompt_before_a_text_counts() -> None:
    assert read("ray runs tasks", prompt="milvus ").tokens == (5,)
    with pytest.raises(InvalidField, match="has 6 tokens, and 'small' reads 5"):
        read("ray runs tasks milvus", prompt="milvus ")


@pytest.mark.parametrize(
    ("long_texts", "piece"),
    [
        (LongTexts("cut"), "ray runs tasks milvus"),
        (LongTexts("cut", keeps_end=True), "milvus ray runs tasks"),
        (LongTexts("cut", 3), "ray"),
        (LongTexts("cut", 4, keeps_end=True), "runs tasks"),
    ],
)
def test_a_text_is_cut_between_tokens_at_the_end_that_is_asked_for(long_texts: LongTexts, piece: str) -> None:
    found = read(LONG, long_texts)
    assert found.pieces == (piece,)
    assert found.tokens == (long_texts.max_tokens or 6,)


@pytest.mark.parametrize(("limit", "sentence"), [(7, "'small' reads 6 tokens"), (2, "leaves nothing"), (0, "leaves")])
def test_a_limit_that_means_nothing_is_refused(limit: int, sentence: str) -> None:
    with pytest.raises(InvalidField, match=sentence):
        read(LONG, LongTexts("cut", limit))


def test_windows_are_of_about_one_length_and_begin_with_words() -> None:
    assert read(LONG, LongTexts("mean")) == ReadText(("ray runs tasks milvus", "ray runs tasks"), (6, 5))
    assert read("ray ray ray unloads unloads", LongTexts("mean")).pieces == ("ray ray ray", "unloads", "unloads")


def test_windows_begin_with_words_where_tokens_have_the_space_before_them() -> None:
    byte_level = Tokenizer(BPE({"a": 0, "Ġ": 1}, []))
    byte_level.pre_tokenizer = ByteLevel(add_prefix_space=False, trim_offsets=False)
    model = Model()
    model.text_tokens = TextTokens(byte_level)
    model.count_tokens = model.text_tokens.count  # type: ignore[method-assign]
    (found,) = read_texts(model, ["aaa aaa aa"], "", LongTexts("mean"))
    assert found.pieces == ("aaa", " aaa", " aa")


@pytest.mark.parametrize(
    ("words", "most"), [(10_000, "2,048 windows of 6 tokens"), (2**20 + 1, "4,194,304 characters")]
)
def test_more_windows_than_a_request_may_have_are_refused_before_they_are_made(
    words: int, most: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def count(_: Model, texts: Sequence[str]) -> list[int]:
        assert len(texts[0]) < 2**20, "tokens of so long a text were counted"
        return TextTokens(tokenizer()).count(texts)

    monkeypatch.setattr(Model, "count_tokens", count)
    monkeypatch.setattr(TextTokens, "places", lambda *_: pytest.fail("windows were made"))
    with pytest.raises(InvalidField, match=f"more than {most}"):
        read("ray " * words, LongTexts("mean"))


def test_a_model_that_reads_much_has_fewer_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Model, "max_tokens", 8192)
    monkeypatch.setattr(Model, "count_tokens", lambda _, texts: [2**19 + 1 for _ in texts])
    with pytest.raises(InvalidField, match="more than 524,288 tokens"):
        read("ray", LongTexts("mean"))


def test_the_mean_is_weighted_by_tokens_and_of_unit_length() -> None:
    of_two, alone = ReadText(("a", "b"), (3, 1)), ReadText(("c",), (5,))
    vectors = np.array([[1, 0], [0, 1], [0.6, 0.8]], np.float32)
    np.testing.assert_allclose(joined([of_two, alone], vectors), [np.array([3, 1]) / 10**0.5, [0.6, 0.8]], rtol=1e-6)
    assert joined([alone], vectors[2:]).tolist() == vectors[2:].tolist()


def test_tokens_of_the_models_own_tokenizer_are_its_text() -> None:
    ids = tokenizer().encode("ray unloads").ids
    assert read(ids) == ReadText(("ray unloads",), (len(ids),))
    assert read(tokenizer().encode(LONG).ids, LongTexts("cut")).pieces == ("ray runs tasks milvus",)


@pytest.mark.parametrize("ids", [[3, 4], [1, 99, 2], [1, 3, 4], [15339, 1917], [2**40], [1]])
def test_tokens_of_another_vocabulary_are_refused_with_what_langchain_is_to_do(ids: list[int]) -> None:
    with pytest.raises(InvalidField, match="check_embedding_ctx_length=False"):
        read(ids)


def test_without_a_tokenizer_texts_are_only_counted() -> None:
    model = Model()
    model.text_tokens = None
    assert read_texts(model, ["ray"], "", LongTexts("cut")) == [ReadText(("ray",), (3,))]
    with pytest.raises(InvalidField, match="tokenizer of 'small' is not known"):
        read_texts(model, [LONG], "", LongTexts("cut"))
