"""How many parameters a recipe trains.

The adapter is put on the model on the meta device by the code that trains it, so the count is exact for every method.
"""

from functools import cache

from plait.adapters.methods import new_adapter
from plait.jobs.plan.architecture import architecture_of, meta_model
from plait.recipes import AdapterConfig, FullConfig


def trained_parameters(source: str, adapter: AdapterConfig) -> int:
    """Parameters that `adapter` trains on the model of a source.

    Raises:
        InvalidInput: when the adapter does not fit the model.
    """
    return _counted(source, adapter.model_dump_json(), type(adapter))


@cache
def _counted(source: str, adapter: str, kind: type[AdapterConfig]) -> int:
    # The config as text: a frozen model that holds lists cannot be a key.
    shape, config = architecture_of(source), kind.model_validate_json(adapter)
    if isinstance(config, FullConfig):
        return shape.parameters
    import torch

    causal_lm = meta_model(shape.config)
    with torch.device("meta"):
        adapted = new_adapter(causal_lm, config)
    return sum(p.numel() for p in adapted.parameters() if p.requires_grad)
