"""The arguments of what clients order and the cluster does: fine-tuning jobs and batches."""

from pydantic import Field

from plait.section import Section


class FineTuningArguments(Section):
    """What /v1/fine_tuning/jobs may do: jobs of this cluster that train adapters on the server's base model."""

    enabled: bool = Field(False, description="Whether clients may train; it takes the cluster's CPUs or GPUs.")
    recipe: str = Field("lora", description="Of the method supervised: a ready recipe, or a file.")
    dpo_recipe: str = Field("dpo", description="Of the method dpo.")
    fields: tuple[str, ...] = Field((), description="Fields of both recipes to set, as in scale.gpus_per_worker=1.")
    at_once: int = Field(1, ge=1, description="Jobs that train at a time; the others are queued.")
    max_waiting: int = Field(10, ge=1, description="Jobs of one API key that are queued or train.")
    max_epochs: int = Field(50, ge=1, description="Most epochs that a client may ask for.")
    retries: int = Field(1, ge=0, description="How often a job that was killed goes on from its last checkpoint.")


class BatchArguments(Section):
    """What /v1/batches may do: jobs of this cluster that ask this application, beside those who wait for answers."""

    enabled: bool = Field(False, description="Whether clients may order batches.")
    at_once: int = Field(
        4, ge=1, description="Requests of a batch that are under way at a time; the engine's other places stay free."
    )
    running: int = Field(1, ge=1, description="Batches that are answered at a time; the others wait.")
    max_waiting: int = Field(20, ge=1, description="Batches of one API key that wait or are answered.")
    max_requests: int = Field(50_000, ge=1, description="Requests of a batch.")
    window_h: float = Field(24.0, gt=0, description="Hours until a batch expires, whatever it has answered.")
    price: float = Field(0.5, ge=0, description="What a token of a batch costs, as a share of its price in `prices`.")
