"""The example of docs/extending.md: conditions that another store's own language says alike."""

import json
import sqlite3

import pytest
from sql_conditions import to_sql

from plait.index.conditions import (  # fmt: skip
    EVERY_ROW,
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

SOURCE, YEAR, TAGS = Field("source"), Field("metadata", ("year",)), Field("metadata", ("tags",))
ROWS = [("a.md", {"year": 2024, "tags": ["x", "y"]}), ("b.md", {"year": 2026}), ("c%.md", {})]


@pytest.mark.parametrize(
    ("condition", "found"),
    [
        (EVERY_ROW, "abc"),
        (NO_ROW, ""),
        (Equals(SOURCE, "a.md"), "a"),
        (OneOf(SOURCE, ("a.md", "b.md")), "ab"),
        (OneOf(SOURCE, ()), ""),
        (Compare(YEAR, ">", 2024), "b"),
        (Like(SOURCE, r"c\%%"), "c"),
        (Exists(YEAR), "ab"),
        (Contains(TAGS, "y"), "a"),
        (Not(Exists(YEAR)), "c"),
        (Or((Equals(SOURCE, "c%.md"), And((Exists(TAGS), Compare(YEAR, "<=", 2024))))), "ac"),
    ],
)
def test_a_condition_finds_the_same_rows(condition: Condition, found: str) -> None:
    database = sqlite3.connect(":memory:")
    database.execute("CREATE TABLE chunks (source TEXT, metadata TEXT)")
    database.executemany("INSERT INTO chunks VALUES (?, ?)", [(name, json.dumps(data)) for name, data in ROWS])
    text, values = to_sql(condition)
    rows = database.execute(f"SELECT source FROM chunks WHERE {text} ORDER BY source", values)
    assert "".join(name[0] for (name,) in rows) == found
