"""How much of a text an embedding model does not know: a model of English reads Thai as a row of unknown tokens.

In: a model's tokenizer, and texts. Out: how many texts are mostly unknown. Such a chunk has a vector like many others,
so a search by meaning finds it by chance. It knows neither documents nor an index.
"""

import json
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import regex
from tokenizers import Tokenizer

_LETTER = regex.compile(r"\p{L}")
_MOSTLY = 0.5


class Vocabulary:
    """What the tokenizer of a model knows.

    Args:
        model_folder: of the model; where it has no tokenizer.json nothing can be said.
    """

    def __init__(self, model_folder: Path) -> None:
        files = (model_folder / "tokenizer.json", *sorted(model_folder.glob("*/tokenizer.json")))
        file = next((file for file in files if file.is_file()), None)
        self._unknown: str | None = None
        if file is None:
            return
        self._tokenizer = Tokenizer.from_file(str(file))
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        model = json.loads(file.read_text(encoding="utf-8"))["model"]
        self._unknown = _unknown_token(model)
        # Only there is a piece that is not a whole word a part of one; elsewhere a clause without blanks is a word.
        self._knows_words = model.get("type") == "WordPiece"

    def count_mostly_unknown(self, texts: Sequence[str]) -> int:
        """Texts of whose letters more than half are unknown, or spelled one by one.

        0 where it cannot be said: a tokenizer of bytes has a token for everything.
        """
        if self._unknown is None:
            return 0
        # Whoever made a vocabulary, it has the letters and the digits of ASCII, and many of its words.
        foreign = [text for text in texts if not text.isascii()]
        encodings = self._tokenizer.encode_batch(foreign, add_special_tokens=False)
        return sum(
            self._share_unknown(text, encoding) > _MOSTLY for text, encoding in zip(foreign, encodings, strict=True)
        )

    def _share_unknown(self, text: str, encoding: Any) -> float:
        letters = {match.start() for match in _LETTER.finditer(text)}
        if not letters:
            return 0.0
        words: dict[int, list[tuple[int, int]]] = defaultdict(list)
        known: set[int] = set()
        for token, word, (start, end) in zip(encoding.tokens, encoding.word_ids, encoding.offsets, strict=True):
            if token == self._unknown:
                continue
            if self._knows_words:
                words[word].append((start, end))
            else:
                known.update(range(start, end))
        for pieces in words.values():
            if len(pieces) == 1 or any(end - start > 1 for start, end in pieces):
                known.update(place for start, end in pieces for place in range(start, end))
        return 1 - len(letters & known) / len(letters)


def _unknown_token(model: dict[str, Any]) -> str | None:
    if model.get("type") == "Unigram":
        number = model.get("unk_id")
        return None if number is None else str(model["vocab"][number][0])
    token = model.get("unk_token")
    return None if token is None else str(token)
