"""Chunks that an embedding model hardly knows are counted, with the tokenizer of the real default model."""

import json
from pathlib import Path

import pytest

from plait.jobs.ingest.unknown import Vocabulary
from plait.models.source import resolve_model
from plait.recipes import DEFAULT_EMBEDDING


@pytest.fixture(scope="module")
def english() -> Vocabulary:
    return Vocabulary(resolve_model(DEFAULT_EMBEDDING))


@pytest.mark.parametrize(
    "text",
    [
        "The quick brown fox — naïve café, iPhone 15, x86_64",
        "Das ist ein schöner Tag für Überraschungen",
        "def f(x): return x + 1  # a b c",
        "┌──┬──┐ 1 │ 2 → 3 ✓",
        "",
        "It is called 東京 in Japanese, and Tokyo in English.",
    ],
)
def test_texts_that_the_english_model_knows(english: Vocabulary, text: str) -> None:
    assert english.count_mostly_unknown([text]) == 0


@pytest.mark.parametrize(
    "text",
    [
        "中文分词是一个重要的问题",
        "コンピューターを使うのが好きです",
        "Привет, как дела? Это важный вопрос",
        "مرحبا بالعالم",
        "यह पुस्तक हिन्दी में है",
        "แมวอยู่บนเสื่อ",
        "서울에서 기차를 탔다",
    ],
)
def test_texts_that_it_does_not_know(english: Vocabulary, text: str) -> None:
    assert english.count_mostly_unknown([text, "known", f"{text}\n{text}"]) == 2


def test_of_a_tokenizer_of_bytes_nothing_can_be_said(tmp_path: Path) -> None:
    assert Vocabulary(tmp_path).count_mostly_unknown(["中文"]) == 0
    about = json.loads((resolve_model(DEFAULT_EMBEDDING) / "tokenizer.json").read_text(encoding="utf-8"))
    del about["model"]["unk_token"]
    about["model"] = {"type": "BPE", "vocab": {}, "merges": [], "byte_fallback": True}
    about |= {"post_processor": None, "added_tokens": [], "padding": None}
    (tmp_path / "tokenizer.json").write_text(json.dumps(about), encoding="utf-8")
    assert Vocabulary(tmp_path).count_mostly_unknown(["中文"]) == 0
