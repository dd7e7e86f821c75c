"""GPUs to plan for: memory and speed, from their makers' data sheets."""

from functools import cache
from importlib.resources import files

import yaml
from pydantic import BaseModel, ConfigDict

from plait.errors import NotFound, did_you_mean


class Gpu(BaseModel):
    """`memory_gb` in 10^9 bytes as sold; `bf16_tflops` of dense matrix products; `source` says where they stand."""

    model_config = ConfigDict(frozen=True)

    name: str
    memory_gb: float
    bf16_tflops: float
    source: str

    @property
    def memory_bytes(self) -> float:
        return self.memory_gb * 1e9

    def peak_flops(self, dtype: str) -> float:
        """Operations a second at most. In float32 torch leaves tensor cores aside; half of TF32's rate, a quarter of
        bf16's, stands in for the many rates that data sheets give."""
        return self.bf16_tflops * 1e12 * (1.0 if dtype == "bfloat16" else 0.25)


@cache
def known_gpus() -> tuple[Gpu, ...]:
    """By memory, smallest first."""
    entries = yaml.safe_load((files("plait.jobs.plan") / "gpus.yaml").read_text("utf-8"))
    return tuple(sorted((Gpu.model_validate(entry) for entry in entries), key=lambda gpu: gpu.memory_gb))


def find_gpu(name: str) -> Gpu:
    """The GPU of that name; letter case, spaces and dashes do not matter.

    Raises:
        NotFound: when the table has none, with the nearest names.
    """
    by_name = {_plain(gpu.name): gpu for gpu in known_gpus()}
    if _plain(name) in by_name:
        return by_name[_plain(name)]
    raise NotFound(f"There is no GPU '{name}' in the table.", did_you_mean(name, [gpu.name for gpu in known_gpus()]))


def _plain(name: str) -> str:
    return "".join(letter for letter in name.lower() if letter.isalnum())
