"""How many tokens the training data has: counted on a sample, as training itself will encode it.

In: a recipe. Out: `DataTokens`, or None where there is no data to count. A model that is on this machine encodes with
its own tokenizer; for one that is not, four characters are taken for a token.
"""

from collections.abc import Iterator
from itertools import chain
from pathlib import Path

from plait.errors import PlaitError
from plait.jobs.plan.throughput import DataTokens
from plait.recipes import TrainRecipe

_SAMPLE_ROWS = 1000
_CHARACTERS_A_TOKEN = 4


def count_tokens(recipe: TrainRecipe) -> DataTokens | None:
    """Tokens of `data.train`, and the share of them with a label, from its first 1,000 rows.

    Raises:
        DataError: when the data is there but cannot be read, or holds no row to learn from.
    """
    source = recipe.data.train
    if not source or ("://" not in source and not any(sign in source for sign in "*?[") and not _exists(source)):
        return None
    from plait.errors import DataError
    from plait.jobs.train.fields import BadRow
    from plait.jobs.train.readers import RawRow, read_rows
    from plait.jobs.train.rows import parse_row
    from plait.jobs.train.sources import find_files

    rows = (row for file in find_files(source) for row in read_rows(file))
    tokens = labels = sampled = 0
    measure = _measure(recipe)
    head: Iterator[RawRow] = (row for _, row in zip(range(_SAMPLE_ROWS), rows, strict=False))
    read = 0
    for row in head:
        read += 1
        try:
            of_row, labelled = measure(parse_row(row.values(), recipe.objective).meaning)
        except BadRow:
            continue
        tokens, labels, sampled = tokens + of_row, labels + labelled, sampled + 1
    if not sampled:
        raise DataError(f"'{source}' has no row to learn from among its first {read:,}.", "See docs/train.md, Data.")
    total_rows = read + sum(1 for _ in chain(rows))
    note = "counted" if read < _SAMPLE_ROWS else f"from the first {_SAMPLE_ROWS:,} of {total_rows:,} rows"
    return DataTokens(count=tokens / sampled * total_rows, label_share=labels / tokens, note=note + measure.note)


def _exists(source: str) -> bool:
    return Path(source).expanduser().exists()


class _Tokenized:
    """Tokens and labelled tokens of a row, as training encodes it."""

    note = ""

    def __init__(self, recipe: TrainRecipe) -> None:
        from plait.jobs.train.encode import Encoder
        from plait.models.chat import chat_format_for
        from plait.models.source import resolve_model
        from plait.models.tokenizer import load_tokenizer

        tokenizer = load_tokenizer(resolve_model(recipe.model.source))
        chat_format = chat_format_for(tokenizer, recipe.model.chat_format)
        self._encoder = Encoder(tokenizer, chat_format, recipe.objective, recipe.data.max_tokens)

    def __call__(self, row: object) -> tuple[int, int]:
        from plait.jobs.train.loss import IGNORED

        examples = [example for group in self._encoder.encode(row) for example in group]  # type: ignore[arg-type]
        labels = sum(label != IGNORED for example in examples for label in example.labels)
        return sum(len(example.input_ids) for example in examples), labels


class _Guessed:
    """Four characters a token, every one of them with a label."""

    note = ", at 4 characters a token"

    def __call__(self, row: object) -> tuple[int, int]:
        count = -(-len(str(row)) // _CHARACTERS_A_TOKEN)
        return count, count


def _measure(recipe: TrainRecipe) -> _Tokenized | _Guessed:
    source = recipe.model.source
    is_here = source.startswith("package:") or _exists(source)
    try:
        return _Tokenized(recipe) if is_here else _Guessed()
    except PlaitError:
        return _Guessed()
