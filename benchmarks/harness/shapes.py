"""Requests as clients of the API send them: their fields and lengths as recorded, with other words in them.

In: a file of shapes, texts to take words from, and a tokenizer. Out: requests, as many of each shape as the file says.
It knows no server.

The body of a shape is what the client sent. Where its own words stood, it says between angle brackets how many:
`<200 characters>`; `<200 fixed characters>`, alike in all requests, as a system prompt is; or `<126 tokens>`, a list of
numbers. `<model>` is one of the models that are asked, `<response>` the id of an earlier answer of /v1/responses.
"""

import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

_CHARACTERS = re.compile(r"<(\d+) (fixed )?characters>")
_TOKENS = re.compile(r"<(\d+) tokens>")
_MODEL, RESPONSE = "<model>", "<response>"
_LENGTHS = ("max_tokens", "max_completion_tokens", "max_output_tokens")
_ODD = re.compile(r"[^A-Za-z0-9.,;:]+")


@dataclass(frozen=True)
class Shape:
    """What a client sends for one of its features.

    Attributes:
        requests: how many of all requests have this shape.
        refused: the client sends what no server of this model can answer, and is to be told so.
    """

    client: str
    does: str
    path: str
    requests: int
    body: dict[str, Any]
    refused: bool = False


@dataclass(frozen=True)
class Request:
    """One request. An earlier response that it continues is not known before it is sent: see `RESPONSE`."""

    shape: Shape
    body: dict[str, Any]

    @property
    def is_streamed(self) -> bool:
        return self.body.get("stream") is True

    @property
    def kind(self) -> tuple[str, str, bool]:
        """Requests of one kind cost alike."""
        retrieves = str(self.body["model"]).startswith("rag/")
        return self.shape.client, self.shape.does, retrieves


class Words:
    """Plain words of some texts, so long as they are wanted."""

    def __init__(self, texts: Sequence[str], tokenizer: Any) -> None:
        self._text = _ODD.sub(" ", " ".join(texts))  # nothing that a chat template or JSON reads as its own
        self._tokens: list[int] = tokenizer.encode(self._text[:200_000], add_special_tokens=False)

    def characters(self, count: int, chance: random.Random) -> str:
        start = chance.randrange(len(self._text) - count)
        return self._text[start : start + count]

    def tokens(self, count: int, chance: random.Random) -> list[int]:
        start = chance.randrange(len(self._tokens) - count)
        return self._tokens[start : start + count]


def read_shapes(file: Path) -> list[Shape]:
    return [Shape(**shape) for shape in yaml.safe_load(file.read_text(encoding="utf-8"))]


def requests_of(
    shapes: Sequence[Shape], total: int, models: Mapping[str, int], words: Words, longest_answer: int
) -> list[Request]:
    """So many requests in all, mixed by chance, always alike.

    Args:
        shapes: each has its share, and one request at least.
        models: what is asked, and how often; those that begin with `rag/` only where conversations are sent.
        longest_answer: no request asks for more tokens.
    """
    whole = sum(shape.requests for shape in shapes)
    chance = random.Random(0)
    made = []
    for shape in shapes:
        able = {m: n for m, n in models.items() if shape.path != "/v1/completions" or not m.startswith("rag/")}
        for _ in range(max(1, round(shape.requests * total / whole))):
            (model,) = chance.choices([*able], [*able.values()])
            filled = _fill(shape.body, model, words, chance)
            made.append(Request(shape, _shortened(filled, longest_answer)))
    chance.shuffle(made)
    return made


def _fill(value: Any, model: str, words: Words, chance: random.Random) -> Any:
    if isinstance(value, dict):
        return {key: _fill(each, model, words, chance) for key, each in value.items()}
    if isinstance(value, list):
        return [_fill(each, model, words, chance) for each in value]
    if not isinstance(value, str):
        return value
    if value == _MODEL:
        return model
    if tokens := _TOKENS.fullmatch(value):
        return words.tokens(int(tokens[1]), chance)

    def text(wanted: re.Match[str]) -> str:
        is_same = wanted[2] is not None
        return words.characters(int(wanted[1]), random.Random(wanted[0]) if is_same else chance)

    return _CHARACTERS.sub(text, value)


def _shortened(body: dict[str, Any], longest: int) -> dict[str, Any]:
    return {key: min(value, longest) if key in _LENGTHS else value for key, value in body.items()}
