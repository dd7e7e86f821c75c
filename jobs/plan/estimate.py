"""`plait plan`: what a run will need, before it runs.

In: a train recipe. Out: a `ResourceEstimate`. Nothing is downloaded, loaded or started; the model is only built on the
meta device.
"""

from joblib import cpu_count
from pydantic import BaseModel, ConfigDict

from plait.errors import InvalidInput
from plait.jobs.plan import overheads
from plait.jobs.plan.architecture import architecture_of, trained_parameters
from plait.jobs.plan.gpus import Change, Gpu, GpuFit, changes_of, find_gpu, fit_of, known_gpus, on_gpus
from plait.jobs.plan.memory import Memory, memory_of
from plait.jobs.plan.speed import DataTokens, Speed, count_tokens, speed_of
from plait.recipes import TrainRecipe


class ResourceEstimate(BaseModel):
    """What a run needs. `memory` is of one worker, on `hardware`; fits and speeds are by GPU, with one GPU a worker
    where the recipe has none."""

    model_config = ConfigDict(frozen=True)

    model: str
    method: str
    workers: int
    parameters: int
    trained_parameters: int
    hardware: str
    memory: Memory
    fits: tuple[GpuFit, ...]
    speeds: tuple[Speed, ...]
    changes: tuple[Change, ...]


def estimate(recipe: TrainRecipe, gpu_name: str | None = None, gpu_hour_price: float | None = None) -> ResourceEstimate:
    """Estimate what a run will need.

    Args:
        recipe: what would be run.
        gpu_name: plan for this GPU only; None: for the common ones.
        gpu_hour_price: of one GPU, for the cost.

    Raises:
        ModelNotFound: when the model is neither here nor in the table of known ones.
        NotFound: for a GPU that is not in the table.
        InvalidInput: for a price that is none.
    """
    if gpu_hour_price is not None and gpu_hour_price < 0:
        raise InvalidInput(f"The price of a GPU hour is {gpu_hour_price}.", "Give a number above 0.")
    gpus = [find_gpu(gpu_name)] if gpu_name else list(known_gpus())
    shape = architecture_of(recipe.model.source)
    trained = trained_parameters(recipe.model.source, recipe.adapter)
    on_gpu = on_gpus(recipe)
    shown = on_gpu if gpu_name else recipe
    is_cpu = shown.scale.gpus_per_worker == 0
    data = count_tokens(recipe)
    speeds = [_gpu_speed(on_gpu, gpu, data, gpu_hour_price) for gpu in gpus]
    if is_cpu:
        speeds.insert(0, _cpu_speed(recipe, data))
    return ResourceEstimate(
        model=recipe.model.source,
        method=recipe.adapter.method,
        workers=recipe.scale.workers,
        parameters=shape.parameters,
        trained_parameters=trained,
        hardware="CPU" if is_cpu else (gpus[0].name if gpu_name else "GPU"),
        memory=memory_of(shown, shape, trained),
        fits=tuple(fit_of(on_gpu, shape, gpu) for gpu in gpus),
        speeds=tuple(speeds),
        changes=tuple(changes_of(on_gpu, shape)),
    )


def _gpu_speed(recipe: TrainRecipe, gpu: Gpu, data: DataTokens | None, price: float | None) -> Speed:
    peak = gpu.peak_flops(recipe.model.dtype) * recipe.scale.workers * recipe.scale.gpus_per_worker
    shape = architecture_of(recipe.model.source)
    return speed_of(recipe, shape, gpu.name, peak, overheads.FLOPS_SHARE_GPU, data, price)


def _cpu_speed(recipe: TrainRecipe, data: DataTokens | None) -> Speed:
    import torch

    from plait.jobs.train.throughput import measured_peak_flops

    threads = recipe.scale.threads_per_worker or max(1, cpu_count() // recipe.scale.workers)
    torch.set_num_threads(min(cpu_count(), threads * recipe.scale.workers))
    peak = measured_peak_flops(torch.device("cpu"), getattr(torch, recipe.model.dtype))
    shape = architecture_of(recipe.model.source)
    return speed_of(recipe, shape, "this CPU", peak, overheads.FLOPS_SHARE_CPU, data)
