"""A store in this process's memory, for tests where Milvus is not the point: exact search over all rows."""

import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np

from plait.errors import CollectionNotFound, DataError
from plait.index.conditions import (
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
    Operator,
    Or,
    Value,
)
from plait.index.search import Search
from plait.index.stores.store import DENSE, WORDS, Capability, Found, Row, Schema
from plait.models.vectors import Vectors

_K1, _B = 1.2, 0.75  # Robertson and Zaragoza 2009
_RRF_K = 60  # Cormack, Clarke and Büttcher 2009


@dataclass
class MemoryCollection:
    """Rows by their key. It stays usable by those who hold it until it is dropped."""

    name: str
    schema: Schema
    notes: dict[str, str]
    rows: dict[str, Row] = field(default_factory=dict)
    is_dropped: bool = False

    @property
    def fields(self) -> frozenset[str]:
        vectors = [DENSE] if self.schema.dimension is not None else []
        words = [WORDS] if self.has_bm25 else []
        return frozenset([*self.schema.texts, *self.schema.numbers, *self.schema.json, *vectors, *words])

    @property
    def dimension(self) -> int:
        return self.schema.dimension or 0

    @property
    def has_bm25(self) -> bool:
        return self.schema.words_bytes is not None

    def properties(self) -> Mapping[str, str]:
        self._check_is_there()
        return dict(self.notes)

    def set_property(self, name: str, value: str) -> None:
        self._check_is_there()
        self.notes[name] = value

    def upsert(self, rows: Sequence[Row]) -> None:
        self._check_is_there()
        for row in rows:
            for name, most_bytes in self.schema.texts.items():
                if len(row[name].encode()) > most_bytes:
                    raise DataError(f"The index refuses a value ({name} has more than {most_bytes} bytes).")
        self.rows |= {row[self.schema.key]: dict(row) for row in rows}

    def delete(self, where: Condition) -> None:
        for row in list(self.scan(where, [self.schema.key])):
            del self.rows[row[self.schema.key]]

    def scan(self, where: Condition, fields: Sequence[str]) -> Iterator[Row]:
        self._check_is_there()
        return iter([{name: row[name] for name in fields} for row in self._meeting(where)])

    def look_up(self, where: Condition, fields: Sequence[str]) -> list[Row]:
        return list(self.scan(where, fields))

    def search(
        self, how: Search, fields: Sequence[str], words: Sequence[str], vectors: Vectors | None
    ) -> list[list[Found]]:
        self._check_is_there()
        rows = list(self._meeting(And((Equals(Field(self.schema.tenant), how.tenant), how.condition))))
        found = []
        for number in range(len(words if vectors is None else vectors)):
            scores = self._scores(
                how, rows, words[number] if words else "", None if vectors is None else vectors[number]
            )
            best = sorted(scores, key=lambda place: -scores[place])[: how.top_k]
            found.append([self._found(rows[place], scores[place], how, fields) for place in best])
        return found

    def load(self) -> None:
        self._check_is_there()

    def flush(self) -> None:
        self._check_is_there()

    def _check_is_there(self) -> None:
        if self.is_dropped:
            raise CollectionNotFound(f"The collection '{self.name}' is gone.")

    def _meeting(self, where: Condition) -> Iterator[Row]:
        return (row for row in list(self.rows.values()) if _meets(row, where))

    def _scores(self, how: Search, rows: Sequence[Row], words: str, vector: Vectors | None) -> dict[int, float]:
        """Of the rows that are found, by their places."""
        dense, by_words = {}, {}
        if how.mode != "bm25" and rows:
            dense = dict(enumerate((np.stack([row[DENSE] for row in rows]) @ vector).tolist()))
        if how.mode != "dense":
            by_words = {place: score for place, score in enumerate(self._bm25(rows, words)) if score > 0}
        if how.mode != "hybrid":
            return dense or by_words
        if isinstance(how.dense_weight, float | int):
            weight = how.dense_weight
            sides = {place: weight * (1 + score) / 2 for place, score in dense.items()}
            for place, score in by_words.items():
                sides[place] += (1 - weight) * 2 / math.pi * math.atan(score)
            return sides
        ranks: defaultdict[int, float] = defaultdict(float)
        for side in (dense, by_words):
            for rank, place in enumerate(sorted(side, key=lambda place: -side[place]), start=1):
                ranks[place] += 1 / (_RRF_K + rank)
        return dict(ranks)

    def _bm25(self, rows: Sequence[Row], words: str) -> Iterable[float]:
        counts = {key: Counter(_tokens(row[WORDS])) for key, row in self.rows.items()}
        mean_length = sum(map(Counter.total, counts.values())) / max(1, len(counts))
        wanted = set(_tokens(words))
        holding = {word: sum(word in count for count in counts.values()) for word in wanted}
        rarity = {word: math.log(1 + (len(counts) - n + 0.5) / (n + 0.5)) for word, n in holding.items()}
        for row in rows:
            count = counts[row[self.schema.key]]
            damping = _K1 * (1 - _B + _B * count.total() / (mean_length or 1))
            yield sum(rarity[word] * count[word] * (_K1 + 1) / (count[word] + damping) for word in wanted)

    def _found(self, row: Row, score: float, how: Search, fields: Sequence[str]) -> Found:
        with_vector = how.with_vectors or how.mode == "hybrid"
        vector = np.asarray(row[DENSE], np.float32) if with_vector else None
        return Found({name: row[name] for name in fields}, score, vector)


class MemoryStore:
    """A `Store` that ends with the process."""

    address = "memory"
    product = "The memory store"
    capabilities: frozenset[Capability] = frozenset({"bm25", "indexes_as_written", "many_writers"})

    def __init__(self) -> None:
        self._collections: dict[str, MemoryCollection] = {}
        self._aliases: dict[str, str] = {}

    def check_answers(self, timeout_s: float) -> None:
        pass

    def open(self, collection: str) -> MemoryCollection | None:
        return self._collections.get(self._aliases.get(collection, collection))

    def create(self, collection: str, schema: Schema, properties: Mapping[str, str]) -> MemoryCollection:
        return self._collections.setdefault(collection, MemoryCollection(collection, schema, dict(properties)))

    def drop(self, collection: str) -> None:
        dropped = self._collections.pop(collection, None)
        if dropped is not None:
            dropped.is_dropped = True

    def collections(self) -> dict[str, Mapping[str, str]]:
        return {name: dict(collection.notes) for name, collection in self._collections.items()}

    def collection_of(self, name: str) -> str | None:
        collection = self.open(name)
        return collection.name if collection else None

    def aliases(self, collection: str) -> list[str]:
        return [alias for alias, name in self._aliases.items() if name == collection]

    def point(self, alias: str, collection: str) -> None:
        self._aliases[alias] = collection

    def drop_alias(self, alias: str) -> None:
        self._aliases.pop(alias, None)


def _meets(row: Row, condition: Condition) -> bool | None:
    """Whether a row meets a condition; None where that is unknown, as in SQL."""
    match condition:
        case Equals(place, value):
            return _equal(_value(row, place), value)
        case OneOf(place, values):
            return _any(_equal(_value(row, place), value) for value in values)
        case Compare(place, operator, value):
            return _in_order(_value(row, place), operator, value)
        case Like(place, pattern):
            text = _value(row, place)
            return bool(_pattern(pattern).fullmatch(text)) if isinstance(text, str) else None
        case Exists(place):
            return _value(row, place) is not None
        case Contains(place, value):
            held = _value(row, place)
            return any(_equal(one, value) for one in held) if isinstance(held, list) else None
        case And(parts):
            opposite = _any(_not(_meets(row, part)) for part in parts)
            return _not(opposite)
        case Or(parts):
            return _any(_meets(row, part) for part in parts)
        case Not(part):
            return _not(_meets(row, part))


def _any(answers: Iterable[bool | None]) -> bool | None:
    known = list(answers)
    return True if True in known else None if None in known else False


def _not(answer: bool | None) -> bool | None:
    return None if answer is None else not answer


def _value(row: Row, place: Field) -> Any:
    value: Any = row.get(place.name)
    for part in place.path:
        try:
            value = value[part]
        except (KeyError, IndexError, TypeError):
            return None
    return value


def _equal(held: Any, value: Value) -> bool | None:
    return None if held is None else _kind(held) == _kind(value) and bool(held == value)


def _in_order(held: Any, operator: Operator, value: Value) -> bool | None:
    if held is None or _kind(held) != _kind(value):
        return None
    return bool({"<": held < value, "<=": held <= value, ">": held > value, ">=": held >= value}[operator])


def _kind(value: Any) -> type:
    return float if isinstance(value, int) and not isinstance(value, bool) else type(value)


@cache
def _pattern(pattern: str) -> re.Pattern[str]:
    parts = re.findall(r"\\.|[^\\]", pattern, re.DOTALL)
    regex = {"%": ".*", "_": "."}
    return re.compile("".join(regex.get(part, re.escape(part[-1])) for part in parts), re.DOTALL)


def _tokens(text: str) -> list[str]:
    return re.findall(r"\w+", text.lower())
