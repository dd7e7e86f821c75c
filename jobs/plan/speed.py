"""How many tokens the training data has, how long a run takes and what it costs.

Tokens are counted on a sample, as training itself will encode it; for a model that is not on this machine, four
characters are taken for a token.

In: a recipe, an architecture, and how fast the hardware could be. Out: `Speed`. Operations are counted as
jobs/train/throughput.py counts them while a run goes (Kaplan et al. 2020, arXiv:2001.08361): two for every weight and
token forwards, two for the gradient passed on, two more where the weight is trained, two more where gradient
checkpointing computes it again; of the head only for positions with a label. Attention over long rows, the data path,
evaluation and checkpoints are left out. No price is known here: cost comes from the one that is given.
"""

from itertools import chain
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from plait.errors import DataError, PlaitError
from plait.jobs.plan.architecture import Architecture
from plait.recipes import TrainRecipe

_SAMPLE_ROWS = 1000
_CHARACTERS_A_TOKEN = 4


class DataTokens(BaseModel):
    """Tokens of the training data, once through; `label_share` of them carry a label; `note` says how that is known."""

    model_config = ConfigDict(frozen=True)

    count: float
    label_share: float = 1.0
    note: str = ""


class Speed(BaseModel):
    """`tokens_per_second` of all workers together; hours and cost where the number of tokens (and a price) is known.

    `peak_flops` is what the hardware could do, `flops_share` how much of it is taken to be reached.
    """

    model_config = ConfigDict(frozen=True)

    hardware: str
    flops_a_token: float
    peak_flops: float
    flops_share: float
    tokens_per_second: float
    data: DataTokens | None
    trained_tokens: float | None
    hours: float | None
    gpu_hours: float | None
    cost: float | None


def flops_a_token(recipe: TrainRecipe, shape: Architecture, label_share: float = 1.0) -> float:
    """Operations of one token, forwards and backwards, on average over examples and general text.

    Args:
        label_share: of the examples' tokens; every token of general text has a label.
    """
    passes = 6.0 if recipe.adapter.trains_base else 4.0
    again = 2.0 if recipe.train.gradient_checkpointing else 0.0
    general = recipe.data.rehearsal_share
    examples = 1 - general
    # The reference of DPO is another forward pass; so is the base that general text is compared with.
    reference = 2.0 * examples if recipe.objective.has_reference else 0.0
    base = 2.0 * general if recipe.train.kl_weight else 0.0
    body = passes + again + reference + base
    head = (passes * examples + reference) * label_share + passes * general + base
    return body * shape.body_parameters + head * shape.head_parameters


def speed_of(
    recipe: TrainRecipe,
    shape: Architecture,
    hardware: str,
    peak_flops: float,
    flops_share: float,
    data: DataTokens | None = None,
    gpu_hour_price: float | None = None,
) -> Speed:
    """Plan the speed of a run.

    Args:
        recipe: what is run.
        shape: the model.
        hardware: what it runs on, in words.
        peak_flops: operations a second of all workers together, at most.
        flops_share: how much of that is reached, in (0, 1].
        data: the training data's tokens, where known.
        gpu_hour_price: of one GPU, in whatever currency.
    """
    operations = flops_a_token(recipe, shape, data.label_share if data else 1.0)
    rate = peak_flops * flops_share / operations
    trained = _trained_tokens(recipe, data)
    hours = trained / rate / 3600 if trained is not None else None
    gpus = recipe.scale.workers * recipe.scale.gpus_per_worker
    gpu_hours = hours * gpus if hours is not None and gpus else None
    return Speed(
        hardware=hardware,
        flops_a_token=operations,
        peak_flops=peak_flops,
        flops_share=flops_share,
        tokens_per_second=rate,
        data=data,
        trained_tokens=trained,
        hours=hours,
        gpu_hours=gpu_hours,
        cost=gpu_hours * gpu_hour_price if gpu_hours is not None and gpu_hour_price is not None else None,
    )


def _trained_tokens(recipe: TrainRecipe, data: DataTokens | None) -> float | None:
    limit = None
    if recipe.train.max_steps is not None and recipe.data.packing:
        # Packed rows are nearly full.
        limit = float(recipe.train.max_steps * recipe.train.batch_size * recipe.data.max_tokens)
    of_examples = limit
    if data is not None:
        total = data.count * recipe.train.epochs
        of_examples = total if limit is None else min(total, limit)
    return of_examples and of_examples / (1 - recipe.data.rehearsal_share)


# ---------------------------------------------------------------- tokens of the data


def count_tokens(recipe: TrainRecipe) -> DataTokens | None:
    """Tokens of `data.train`, and the share of them with a label, from its first 1,000 rows.

    Raises:
        DataError: when the data is there but cannot be read, or holds no row to learn from.
    """
    source = recipe.data.train
    if not source or ("://" not in source and not any(sign in source for sign in "*?[") and not _exists(source)):
        return None
    from plait.documents.row_files import BadRow
    from plait.documents.row_source import find_rows
    from plait.jobs.train.objectives.objective import objective_of
    from plait.jobs.train.parse import parse_row

    found = find_rows(source)
    rows = (row for part in found.parts for row in found.rows(part))
    tokens = labels = sampled = 0
    objective, measure = objective_of(recipe.objective), _measure(recipe)
    head = (row for _, row in zip(range(_SAMPLE_ROWS), rows, strict=False))
    read = 0
    for row in head:
        read += 1
        try:
            of_row, labelled = measure(parse_row(row.values(), objective).meaning)
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
        from plait.jobs.train.objectives.objective import objective_of
        from plait.models.chat import chat_format_for
        from plait.models.source import resolve_model
        from plait.models.tokenizer import load_tokenizer

        tokenizer = load_tokenizer(resolve_model(recipe.model.source))
        chat_format = chat_format_for(tokenizer, recipe.model.chat_format)
        self._objective = objective_of(recipe.objective)
        self._encoder = Encoder(tokenizer, chat_format, recipe.data.max_tokens)

    def __call__(self, row: object) -> tuple[int, int]:
        from plait.jobs.train.loss import IGNORED

        examples = [example for group in self._objective.encode(row, self._encoder) for example in group]
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
