"""The memory of one worker, part by part, and the peak that the parts make.

In: a recipe and the model's architecture. Out: a `Memory`. Every part has a phase: some always exist, some only while a
micro-batch is computed, some only in its loss, some only in the optimiser's step; the peak is the largest sum that
exists at once. It knows nothing of particular GPUs.
"""

from typing import Literal

from pydantic import BaseModel, ConfigDict, computed_field

Phase = Literal["always", "pass", "loss", "step"]


class Part(BaseModel):
    """`bytes` that a worker needs for one thing; `phase` says when; `where` says on its device or in host memory."""

    model_config = ConfigDict(frozen=True)

    name: str
    bytes: float
    phase: Phase
    where: Literal["device", "host"] = "device"
    note: str = ""


class Memory(BaseModel):
    """Parts of one worker's memory, and their peak. A CPU's heap keeps what activations took while the step runs."""

    model_config = ConfigDict(frozen=True)

    is_cpu: bool
    parts: tuple[Part, ...]

    @computed_field  # type: ignore[prop-decorator]
    @property
    def peak_bytes(self) -> float:
        """Most that exists at once on the worker's device."""
        always, in_pass, in_loss, in_step = (self._sum(phase) for phase in ("always", "pass", "loss", "step"))
        if self.is_cpu:
            return always + in_pass + max(in_loss, in_step)
        return always + max(in_pass + in_loss, in_step)

    @computed_field  # type: ignore[prop-decorator]
    @property
    def host_bytes(self) -> float:
        """What the worker holds in host memory instead."""
        return sum(part.bytes for part in self.parts if part.where == "host")

    def of(self, *names: str) -> float:
        """Bytes of the parts of these names, wherever they lie."""
        return sum(part.bytes for part in self.parts if part.name in names)

    def _sum(self, phase: str) -> float:
        return sum(part.bytes for part in self.parts if part.phase == phase and part.where == "device")
