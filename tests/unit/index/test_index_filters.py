import pytest

from plait.errors import InvalidInput
from plait.index.filters import MAX_FILTER_CHARACTERS, within_tenant


def test_a_condition_stands_in_brackets_beside_the_tenant() -> None:
    assert within_tenant("a") == 'tenant == "a"'
    assert within_tenant("a", " ") == 'tenant == "a"'
    assert within_tenant("a", "x == 1 or true") == 'tenant == "a" and (x == 1 or true)'
    assert within_tenant('a" or "" == "', "true") == r'tenant == "a\" or \"\" == \"" and (true)'


@pytest.mark.parametrize(
    "condition",
    [
        'metadata["lang"] == "en" and (position < 3 or title like "Ray%")',
        "source == 'it is a \")\" \\' here'",
        r'title == "back \\ slash"',
        "json_contains(metadata['tags'], \"a\") and not (position in [1, 2])",
        "title == '中文 (é'",
    ],
)
def test_what_is_closed_passes(condition: str) -> None:
    assert within_tenant("a", condition) == f'tenant == "a" and ({condition})'


@pytest.mark.parametrize(
    ("condition", "why"),
    [
        ("true) or (true", r"at character 5: this '\)' closes nothing"),
        ('true)) or tenant != "', r"this '\)' closes nothing"),
        ("(true", r"a '\)' is missing"),
        ("(true]", "closes nothing"),
        ('title == "open', "this string does not end"),
        ('title == "open\n"', "this string does not end"),
        ('title == "end\\', "can follow a backslash"),
        (r'title == "\x22) or (true"', "can follow a backslash"),
        (r'title == r"\") or ("', "a string cannot follow a name"),
        ("true \\", "can stand only in a string"),
        ("true # comment", "can stand only in a string"),
        ("true \x00", "can stand only in a string"),
        ("title == “quoted”", "can stand only in a string"),
    ],
)
def test_what_could_reach_out_of_its_brackets_is_refused(condition: str, why: str) -> None:
    with pytest.raises(InvalidInput, match=why):
        within_tenant("a", condition)


def test_a_filter_has_bounds() -> None:
    within_tenant("a", "(" * 32 + "true" + ")" * 32)
    with pytest.raises(InvalidInput, match="nested too deeply"):
        within_tenant("a", "(" * 33 + "true" + ")" * 33)
    with pytest.raises(InvalidInput, match=f"Use {MAX_FILTER_CHARACTERS} at most"):
        within_tenant("a", "true" + " " * MAX_FILTER_CHARACTERS)


def test_a_condition_is_in_the_normal_form_that_names_and_metadata_have() -> None:
    assert within_tenant("a", "source == 'cafe\u0301.md'") == "tenant == \"a\" and (source == 'café.md')"
