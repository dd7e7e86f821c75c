"""One normal form for words: what looks alike is one word, and where there are no blanks, there still are words."""

import re
import unicodedata
from time import process_time

import pytest

from plait.index.words import analyzed, from_word_to_word, has_words, within


def words(text: str) -> list[str]:
    """As the plainest analyzer, that of the embedded Milvus, cuts a text."""
    return re.findall(r"\w+", analyzed(text).lower())


@pytest.mark.parametrize(
    ("written", "asked"),
    [
        ("cafe\u0301", "café"),
        ("ＡＢＣ１２３", "abc123"),
        ("conﬁguration", "configuration"),
        ("con\u00adfigu\u00adration", "configuration"),
        ("zero\u200bwidth", "zerowidth"),
        ("\ufeffbegin", "begin"),
        ("Plait™", "plait"),
        ("10⁶ bytes", "10^6 bytes"),
        ("5¹²", "5 12"),
        ("101₂", "101 2"),
        ("1½ cups", "1 1/2 cups"),
        ("H₂O", "H2O"),
        ("m²", "m2"),
        ("it’s", "it's"),
        ("STRASSE", "Straße"),
        ("İstanbul", "istanbul"),
        ("ΣΊΣΥΦΟΣ", "Σίσυφος"),
        ("ｶﾀｶﾅ", "カタカナ"),
        ("مُحَمَّد", "محمد"),
    ],
)
def test_what_looks_alike_is_one_word(written: str, asked: str) -> None:
    assert words(written) == words(asked) != []


@pytest.mark.parametrize(
    ("document", "question"),
    [
        ("中文分词是一个问题", "分词"),
        ("黒い猫が好きです", "猫"),
        ("東京都に住んでいます。", "東京"),
        ("コンピューターを使う", "コンピューター"),
        ("서울에서 삽니다", "서울"),
        ("แมวอยู่บนเสื่อ", "แมว"),
        ("ខ្ញុំស្រឡាញ់ភាសាខ្មែរ", "ភាសា"),
        ("ຂ້ອຍຮັກພາສາລາວ", "ພາສາ"),
        ("iPhone手机很贵", "手机"),
        ("यह हिन्दी में है", "हिन्दी"),
    ],
)
def test_a_word_is_found_in_a_clause_without_blanks(document: str, question: str) -> None:
    assert words(question)
    assert set(words(question)) <= set(words(document))


@pytest.mark.parametrize("text", ["中文", "猫", "한국어", "हिन्दी", "ภาษาไทย"])
def test_no_analyzer_can_take_such_a_word_apart(text: str) -> None:
    assert all(word.isascii() and word.isalnum() for word in words(text))


def test_a_word_hyphenated_at_a_lines_end_is_whole_and_a_compound_keeps_its_parts() -> None:
    assert words("an exam-\nple of well-\r\n known things") == [
        *("an", "exam", "ple", "example", "of", "well", "known", "wellknown", "things")
    ]
    assert words("naïve exam-\nple") == ["naïve", "exam", "ple", "example"]
    assert words("- one\n- two\n---\nthree") == ["one", "two", "three"]
    assert words("from Berlin-\nBrandenburg") == ["from", "berlin", "brandenburg"]


def test_english_stays_as_it_is() -> None:
    text = "Pass --no-cache to `pip install`: it's 3.5 times FASTER\n\n| a | b |\n"
    assert analyzed(text) == text


@pytest.mark.parametrize("form", ["NFC", "NFD", "NFKC", "NFKD"])
def test_unicodes_forms_of_a_text_have_the_same_words(form: str) -> None:
    text = "Zażółć gęślą jaźń, 한국어, がぎぐ, naïve résumé, हिन्दी"
    assert words(unicodedata.normalize(form, text)) == words(text)


def test_a_long_text_takes_time_by_its_length() -> None:
    for text in ("a" * 100_000 + "-", "ก\u0e48" * 50_000, "が" * 100_000, "é" * 100_000 + "\n"):
        began = process_time()
        analyzed(text)
        assert process_time() - began < 5  # by its square: minutes


def test_a_text_too_long_for_a_field_has_each_word_once_and_the_last_too() -> None:
    text = analyzed("แมวอยู่บนเสื่อ " * 600 + "สวัสดี")
    assert len(text) > 65_535
    assert set(within(65_535, text).split()) == set(text.split())
    assert within(65_535, "a a b") == "a a b"
    assert within(5, "a é é é") == "a é"
    assert within(3, "a éé") == "a "


@pytest.mark.parametrize("text", ["", " ", "?!", "\U0001f389", "\u200b", "___", "—", "\u0301"])
def test_a_text_without_letters_and_digits_has_no_words(text: str) -> None:
    assert not has_words(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("?" * 50_000 + "a" + "?" * 50_000, "a"), ("¿Por qué no?\n!", "Por qué no"), ("-5°", "5"), ("?!" * 50_000, "")],
)
def test_a_text_without_what_stands_around_its_words(text: str, expected: str) -> None:
    assert from_word_to_word(text) == expected


@pytest.mark.parametrize("text", ["a", "7", "猫", "é", "?x?", "ไ"])
def test_one_letter_or_digit_is_a_word(text: str) -> None:
    assert has_words(text)
