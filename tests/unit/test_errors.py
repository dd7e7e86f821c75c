"""Errors that stay what they are on their way through Ray."""

import pickle

import pytest

from plait.errors import InvalidField, InvalidInput, Overloaded, PlaitError, did_you_mean, find_plait_error, first_line


@pytest.mark.parametrize(
    "error",
    [
        InvalidInput("a is wrong.", "Do b."),
        InvalidField("a.b is wrong.", "Do c.", "a.b"),
        Overloaded("full.", "Wait.", 2.5),
    ],
)
def test_an_error_survives_pickling(error: PlaitError) -> None:
    copy = pickle.loads(pickle.dumps(error))
    assert (type(copy), str(copy), vars(copy)) == (type(error), str(error), vars(error))


def test_the_error_at_the_bottom_of_a_chain_is_found() -> None:
    try:
        try:
            raise InvalidInput("deep.")
        except InvalidInput as cause:
            raise RuntimeError("outer") from cause
    except RuntimeError as outer:
        found = find_plait_error(outer)
    assert str(found) == "deep."
    assert find_plait_error(ValueError("ours? no")) is None


def test_suggestions_come_from_what_exists() -> None:
    assert did_you_mean("suport", ["support", "sales"]) == "Did you mean 'support'?"
    assert did_you_mean("zzz", ["support", "sales"]) == "Known: sales, support."
    assert did_you_mean("zzz", []) == ""


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ValueError("no such file.\nTry another.\n"), "no such file"),
        (OSError("\n  first words\nmore"), "first words"),
        (FileNotFoundError(2, "No such file or directory", "/a/b"), "No such file or directory"),
        (RuntimeError(""), "RuntimeError"),
        (KeyError("x" * 500), "'" + "x" * 199),
    ],
)
def test_the_reason_of_a_librarys_error_is_one_short_line(error: Exception, said: str) -> None:
    assert first_line(error) == said
