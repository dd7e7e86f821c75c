"""The front matter of a Markdown document: facts about it that stand before its text, in YAML or TOML.

In: a text. Out: where the text itself starts, and the title that the front matter gives. Nothing is taken out of the
text: what stands in front is found like the rest.
"""

import re
import tomllib
from dataclasses import dataclass
from typing import Any

import yaml

_BLOCK = re.compile(r"\A(---|\+\+\+)[ \t]*\n(.*?)^(\1|\.\.\.)[ \t]*(?:\n|\Z)", re.DOTALL | re.MULTILINE)
_LIKE_YAML = re.compile(r"[\w\"']\S*(?:[ \t]+\S+){0,2}?[ \t]*:(\s|\Z)|[ \t]+\S|- |#|\s*\Z")
_HEADING = re.compile(r"^#{1,6}[ \t]", re.MULTILINE)
_TITLE = re.compile(r"^title[ \t]*:(.*)(?:\n[ \t]+.*)*", re.IGNORECASE | re.MULTILINE)


@dataclass(frozen=True)
class FrontMatter:
    """`end`: where the text after it starts. `title`: empty where it has none."""

    end: int = 0
    title: str = ""


def front_matter_of(text: str) -> FrontMatter:
    """The front matter of a text, between lines of `---` (the last may be `...`), or of `+++` for TOML.

    Values count as they are written: `1.10` is no number here, `2024-02-30` no date. A block in which every line looks
    like YAML, but which is not (`title: Ray: a tour`), is front matter all the same. Text between two rules is not: a
    heading is a comment of YAML's, but one alone, or one beside names of several words, is a heading.
    """
    match = _BLOCK.match(text)
    if match is None or (match[1] == "+++" and match[3] == "..."):
        return FrontMatter()
    values = _toml(match[2]) if match[1] == "+++" else _yaml(match[2])
    if values is None:
        return FrontMatter()
    title = next((value for name, value in values.items() if str(name).lower() == "title"), "")
    return FrontMatter(match.end(), title.strip() if isinstance(title, str) else "")


def _yaml(block: str) -> dict[Any, Any] | None:
    has_heading = _HEADING.search(block) is not None
    try:
        values = yaml.load(block, yaml.BaseLoader)
    except (yaml.YAMLError, RecursionError):
        is_like_it = not has_heading and all(_LIKE_YAML.match(line) for line in block.splitlines())
        return {"title": _title_in(block)} if is_like_it else None
    if values is None:
        return None if block.strip() else {}
    if not isinstance(values, dict) or (has_heading and any(len(str(name).split()) > 1 for name in values)):
        return None
    return values


def _title_in(block: str) -> Any:
    """The title in what is no YAML as a whole; its own lines may be."""
    match = _TITLE.search(block)
    if match is None:
        return ""
    try:
        (title,) = yaml.load(match[0], yaml.BaseLoader).values()
    except (yaml.YAMLError, RecursionError):
        title = match[1].strip()
        return "" if title.startswith(("|", ">")) else title.strip("\"'")
    return title


def _toml(block: str) -> dict[str, Any] | None:
    try:
        return tomllib.loads(block, parse_float=str)
    except (ValueError, RecursionError):  # also by a number of very many digits
        return None
