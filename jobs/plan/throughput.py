"""How long a run takes and what it costs.

In: a recipe, an architecture, how fast the hardware could be, and how many tokens there are. Out: `Speed`. Operations
are counted as jobs/train/throughput.py counts them while a run goes (Kaplan et al. 2020, arXiv:2001.08361): two for
every weight and token forwards, two for the gradient passed on, two more where the weight is trained, two more where
gradient checkpointing computes it again; of the head only for positions with a label. Attention over long rows, the
data path, evaluation and checkpoints are left out. No price is known here: cost comes from the one that is given.
"""

from pydantic import BaseModel, ConfigDict

from plait.jobs.plan.architecture import Architecture
from plait.recipes import TrainRecipe


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
    """Operations of one token, forwards and backwards."""
    factor = 6.0 if recipe.adapter.method == "full" else 4.0
    again = 2.0 if recipe.train.gradient_checkpointing else 0.0
    # The reference of DPO is another forward pass.
    reference = 2.0 if recipe.objective.kind == "dpo" else 0.0
    body = (factor + again + reference) * shape.body_parameters
    return body + (factor + reference) * label_share * shape.head_parameters


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
    if data is None:
        return limit
    total = data.count * recipe.train.epochs
    return total if limit is None else min(total, limit)
