import pytest

from plait.errors import InvalidInput
from plait.index.conditions import (
    EVERY_ROW,
    MAX_FILTER_CHARACTERS,
    NO_ROW,
    And,
    Compare,
    Condition,
    Contains,
    Equals,
    Exists,
    Field,
    Like,
    Not,
    OneOf,
    Or,
)
from plait.index.filters import read_filter

LANG, TAGS = Field("metadata", ("lang",)), Field("metadata", ("tags",))
SOURCE, POSITION = Field("source"), Field("position")


@pytest.mark.parametrize(
    ("text", "condition"),
    [
        ("", EVERY_ROW),
        (" \n", EVERY_ROW),
        ("TRUE", EVERY_ROW),
        ("1 == 1.0", EVERY_ROW),
        ("'a' > 'b'", NO_ROW),
        ('metadata["lang"] == "en"', Equals(LANG, "en")),
        ("metadata['lang'] != true", Not(Equals(LANG, True))),
        ('metadata["a"]["b"][0]<-4.5e3', Compare(Field("metadata", ("a", "b", 0)), "<", -4500.0)),
        ("position >= 3", Compare(POSITION, ">=", 3)),
        ("3 >= position", Compare(POSITION, "<=", 3)),
        ("1 < position <= 4", And((Compare(POSITION, ">", 1), Compare(POSITION, "<=", 4)))),
        ('source LIKE "guide/%"', Like(SOURCE, "guide/%")),
        ("source in [\"a.md\", 'b.md',]", OneOf(SOURCE, ("a.md", "b.md"))),
        ("source not in []", Not(OneOf(SOURCE, ()))),
        ('exists metadata["lang"]', Exists(LANG)),
        ('metadata["lang"] is not null', Exists(LANG)),
        ('metadata["lang"] is null', Not(Exists(LANG))),
        ('json_contains(metadata["tags"], "a")', Contains(TAGS, "a")),
        ('JSON_CONTAINS_ANY(metadata["tags"], ["a", 1])', Or((Contains(TAGS, "a"), Contains(TAGS, 1)))),
        ('json_contains_all(metadata["tags"], ["a"])', And((Contains(TAGS, "a"),))),
        (r"""source == 'it''""".replace("''", r"\'s \"a\" \\ \n'"), Equals(SOURCE, 'it\'s "a" \\ \n')),
        ("source == 'cafe\u0301.md'", Equals(SOURCE, "café.md")),  # as names and metadata are in an index
    ],
)
def test_a_filter_is_read_as_what_it_says(text: str, condition: Condition) -> None:
    assert read_filter(text) == condition


def test_not_binds_tighter_than_and_and_and_tighter_than_or() -> None:
    a, b, c = (Equals(POSITION, number) for number in (1, 2, 3))
    assert read_filter("position == 1 or not position == 2 and position == 3") == Or((a, And((Not(b), c))))
    assert read_filter("position == 1 || !position == 2 && position == 3") == Or((a, And((Not(b), c))))
    assert read_filter("!(position == 1 or position == 2) and (position == 3)") == And((Not(Or((a, b))), c))


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("true) or (true", r"at character 5: '\)' cannot stand here"),
        ("(true", "its end is missing"),
        ("title == ", "its end is missing"),
        ('title == "open', "at character 10: this string does not end"),
        ('title == "open\n"', "this string does not end"),
        ('title == "end\\', "this string does not end"),
        (r'title == "a\x22) or (true"', "at character 12: only .* can follow a backslash"),
        (r'title == r"\") or ("', "'r' cannot stand here"),
        ("true \\", "can stand only in a string"),
        ("true # comment", "can stand only in a string"),
        ("true \x00", "can stand only in a string"),
        ("title == “quoted”", "can stand only in a string"),
        ("position % 2 == 0", "can stand only in a string"),
        ('titel == "a"', "there is no field 'titel'. Did you mean 'title'"),
        ('$meta["a"] == 1', "can stand only in a string"),
        ('title["a"] == "b"', "'title' has no keys"),
        ("metadata == 1", "a key is missing"),
        ("exists title", "at character 8: 'title' always has one value"),
        ('title > 3 and title == "a"', "at character 9: 'title' is a text"),
        ("position == true", "'position' is a number"),
        ("position in [1, 'b']", "at character 17: 'position' is a number"),
        ("position like 'a'", "'position' is a number"),
        ("position == 1e999", "this number is too large"),
        ("position == 9223372036854775808", "this number is too large"),
        ("1 == 'a'", "a text and a number do not compare"),
        ("1", "its end is missing"),
        ('text_match(title, "a")', "cannot stand here"),
    ],
)
def test_what_says_nothing_is_refused_with_its_place(text: str, why: str) -> None:
    with pytest.raises(InvalidInput, match=why):
        read_filter(text)


def test_a_filter_has_bounds() -> None:
    read_filter("(" * 900 + "true" + ")" * 900)  # brackets alone make no tree
    read_filter("not " * 32 + "position == 1")
    with pytest.raises(InvalidInput, match="nested too deeply"):
        read_filter("not " * 33 + "position == 1")
    with pytest.raises(InvalidInput, match=f"Use {MAX_FILTER_CHARACTERS} at most"):
        read_filter("true" + " " * MAX_FILTER_CHARACTERS)
