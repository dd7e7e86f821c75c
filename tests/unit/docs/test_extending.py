"""The examples of docs/extending.md are code that tests run."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
EXAMPLES = re.findall(
    r"From `([\w./-]+)`:\n\n```python\n(.*?)\n```",
    (ROOT / "docs" / "extending.md").read_text(encoding="utf-8"),
    re.DOTALL,
)


@pytest.mark.parametrize(("path", "code"), EXAMPLES, ids=[path for path, _ in EXAMPLES])
def test_an_example_stands_word_by_word_in_a_file_that_tests_run(path: str, code: str) -> None:
    assert path.startswith("tests/")
    assert code in (ROOT / path).read_text(encoding="utf-8")


def test_every_block_of_python_says_where_it_is_from() -> None:
    page = (ROOT / "docs" / "extending.md").read_text(encoding="utf-8")
    assert page.count("```python") == len(EXAMPLES) >= 5


def test_every_path_on_the_page_exists() -> None:
    page = (ROOT / "docs" / "extending.md").read_text(encoding="utf-8")
    paths = re.findall(r"`((?:platform|jobs|serve|tests)/[\w./-]*)`", page)
    assert [path for path in paths if "NAME" not in path and not (ROOT / path).exists()] == []
