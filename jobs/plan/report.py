"""An estimate as tables."""

from rich.console import Console
from rich.table import Table

from plait.jobs.plan.estimate import ResourceEstimate
from plait.jobs.plan.gpus import GpuFit
from plait.jobs.plan.memory import Part
from plait.jobs.plan.speed import Speed


def show(estimate: ResourceEstimate, console: Console) -> None:
    """Print an estimate."""
    workers = f"{estimate.workers} worker" + ("s" if estimate.workers > 1 else "")
    console.print(
        f"{estimate.model}: {_count(estimate.parameters)} parameters; {estimate.method} trains "
        f"{_count(estimate.trained_parameters)} ({estimate.trained_parameters / estimate.parameters:.2%}) "
        f"with {workers}"
    )
    console.print(_memory_table(estimate))
    console.print(_gpu_table(estimate))
    if not any(fit.is_enough for fit in estimate.fits):
        console.print(_change_table(estimate))


def _memory_table(estimate: ResourceEstimate) -> Table:
    title = f"Memory of one worker ({estimate.hardware})"
    table = Table("part", "GB", "when", "what", title=title, title_justify="left")
    for part in estimate.memory.parts:
        table.add_row(part.name, _gb(part.bytes), _when(part), part.note)
    table.add_section()
    table.add_row("peak", _gb(estimate.memory.peak_bytes), "", "what exists at once")
    if estimate.memory.host_bytes:
        table.add_row("host", _gb(estimate.memory.host_bytes), "", "in host memory")
    return table


def _when(part: Part) -> str:
    where = ", in host memory" if part.where == "host" else ""
    return {"always": "always", "pass": "in a pass", "loss": "in the loss", "step": "in the step"}[part.phase] + where


def _gpu_table(estimate: ResourceEstimate) -> Table:
    speeds = {speed.hardware: speed for speed in estimate.speeds}
    has_cost = any(speed.cost is not None for speed in estimate.speeds)
    table = Table(
        *("GPU", "memory, GB", "needs, GB", "fits", "tokens/s", "hours", *(["cost"] if has_cost else [])),
        title=f"With {estimate.workers} worker{'s' if estimate.workers > 1 else ''}, one GPU each",
        title_justify="left",
    )
    if cpu := speeds.get("this CPU"):
        table.add_row("this CPU", "", _gb(estimate.memory.peak_bytes), "", *_speed(cpu), *([""] if has_cost else []))
        table.add_section()
    for fit in estimate.fits:
        speed = speeds[fit.gpu.name]
        cost = [f"{speed.cost:,.2f}" if speed.cost is not None else ""] if has_cost else []
        table.add_row(fit.gpu.name, f"{fit.gpu.memory_gb:g}", _gb(fit.needed_bytes), _fits(fit), *_speed(speed), *cost)
    return table


def _fits(fit: GpuFit) -> str:
    if fit.is_enough:
        return "yes"
    return f"with {fit.workers_needed} workers" if fit.workers_needed else "no"


def _speed(speed: Speed) -> tuple[str, str]:
    return f"{speed.tokens_per_second:,.0f}", f"{speed.hours:,.2g}" if speed.hours is not None else "?"


def _change_table(estimate: ResourceEstimate) -> Table:
    table = Table("change", "needs, GB", "smallest GPU", "what it does", title="To make it fit", title_justify="left")
    for change in estimate.changes:
        smallest = next((fit.gpu.name for fit in estimate.fits if change.needed_bytes <= fit.gpu.memory_bytes), "none")
        table.add_row("\n".join(change.overrides), _gb(change.needed_bytes), smallest, change.why)
    return table


def _gb(count: float) -> str:
    return f"{count / 1e9:,.1f}" if count >= 1e8 else f"{count / 1e9:.3f}"


def _count(number: int) -> str:
    for size, unit in ((1e9, "B"), (1e6, "M"), (1e3, "k")):
        if number >= size:
            return f"{number / size:.3g} {unit}"
    return str(number)
