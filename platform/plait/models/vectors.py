"""What makes vectors comparable: the model, their dimension, and the prompts before queries and before passages.

An index remembers it, and takes and searches with no other. This module loads no model.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

Vectors = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Prompts:
    """What a model wants before a text to search with, and before one to be found (`query: ` and `passage: ` of E5)."""

    query: str = ""
    passage: str = ""

    @classmethod
    def of_model(cls, folder: Path, query: str | None = None, passage: str | None = None) -> "Prompts":
        """The prompts given, and where none is, the one in the model's own `config_sentence_transformers.json`."""
        file = folder / "config_sentence_transformers.json"
        own = json.loads(file.read_text(encoding="utf-8")).get("prompts") if file.is_file() else None
        own = own or {}
        # The names that sentence-transformers itself looks for.
        of_passages = next((own[name] for name in ("document", "passage", "corpus") if own.get(name)), "")
        return cls(
            (own.get("query") or "") if query is None else query,
            of_passages if passage is None else passage,
        )


NO_PROMPTS = Prompts()


@dataclass(frozen=True)
class VectorKind:
    """A kind of vectors: two of one kind compare, others do not."""

    model: str
    dimension: int
    prompts: Prompts = NO_PROMPTS

    def __str__(self) -> str:
        prompts = "".join(
            f", {name} prompt {prompt!r}"
            for name, prompt in (("query", self.prompts.query), ("passage", self.prompts.passage))
            if prompt
        )
        return f"'{self.model}' ({self.dimension} dimensions{prompts})"
