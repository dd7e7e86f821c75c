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
_LIKE_YAML = re.compile(r"[\w\"'][^\n]*?:(\s|\Z)|[ \t]+\S|- |#|\s*\Z")
_TITLE = re.compile(r"^title[ \t]*:[ \t]+(\S.*)$", re.IGNORECASE | re.MULTILINE)


@dataclass(frozen=True)
class FrontMatter:
    """`end`: where the text after it starts. `title`: empty where it has none."""

    end: int = 0
    title: str = ""


def front_matter_of(text: str) -> FrontMatter:
    """The front matter of a text, between lines of `---` (the last may be `...`), or of `+++` for TOML.

    Values count as they are written: `1.10` is no number here, `2024-02-30` no date. A block in which every line looks
    like YAML, but which is not (`title: Ray: a tour`), is front matter all the same. Text between two rules is not.
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
    try:
        values = yaml.load(block, yaml.BaseLoader)
    except yaml.YAMLError:
        if not all(_LIKE_YAML.match(line) for line in block.splitlines()):
            return None
        title = _TITLE.search(block)
        return {"title": title[1].strip().strip("\"'")} if title else {}
    return {} if values is None else values if isinstance(values, dict) else None


def _toml(block: str) -> dict[str, Any] | None:
    try:
        return tomllib.loads(block, parse_float=str)
    except tomllib.TOMLDecodeError:
        return None
