"""A plan as tables."""

from rich.console import Console
from rich.table import Table

from plait.jobs.plan.fit import Fit
from plait.jobs.plan.memory import Part
from plait.jobs.plan.plan import Plan
from plait.jobs.plan.throughput import Speed


def show(plan: Plan, console: Console) -> None:
    """Print a plan."""
    workers = f"{plan.workers} worker" + ("s" if plan.workers > 1 else "")
    console.print(
        f"{plan.model}: {_count(plan.parameters)} parameters; {plan.method} trains {_count(plan.trained_parameters)} "
        f"({plan.trained_parameters / plan.parameters:.2%}) with {workers}"
    )
    console.print(_memory_table(plan))
    console.print(_gpu_table(plan))
    if not any(fit.is_enough for fit in plan.fits):
        console.print(_change_table(plan))


def _memory_table(plan: Plan) -> Table:
    table = Table("part", "GB", "when", "what", title=f"Memory of one worker ({plan.hardware})", title_justify="left")
    for part in plan.memory.parts:
        table.add_row(part.name, _gb(part.bytes), _when(part), part.note)
    table.add_section()
    table.add_row("peak", _gb(plan.memory.peak_bytes), "", "what exists at once")
    if plan.memory.host_bytes:
        table.add_row("host", _gb(plan.memory.host_bytes), "", "in host memory")
    return table


def _when(part: Part) -> str:
    where = ", in host memory" if part.where == "host" else ""
    return {"always": "always", "pass": "in a pass", "loss": "in the loss", "step": "in the step"}[part.phase] + where


def _gpu_table(plan: Plan) -> Table:
    speeds = {speed.hardware: speed for speed in plan.speeds}
    has_cost = any(speed.cost is not None for speed in plan.speeds)
    table = Table(
        *("GPU", "memory, GB", "needs, GB", "fits", "tokens/s", "hours", *(["cost"] if has_cost else [])),
        title=f"With {plan.workers} worker{'s' if plan.workers > 1 else ''}, one GPU each",
        title_justify="left",
    )
    if cpu := speeds.get("this CPU"):
        table.add_row("this CPU", "", _gb(plan.memory.peak_bytes), "", *_speed(cpu), *([""] if has_cost else []))
        table.add_section()
    for fit in plan.fits:
        speed = speeds[fit.gpu.name]
        cost = [f"{speed.cost:,.2f}" if speed.cost is not None else ""] if has_cost else []
        table.add_row(fit.gpu.name, f"{fit.gpu.memory_gb:g}", _gb(fit.needed_bytes), _fits(fit), *_speed(speed), *cost)
    return table


def _fits(fit: Fit) -> str:
    if fit.is_enough:
        return "yes"
    return f"with {fit.workers_needed} workers" if fit.workers_needed else "no"


def _speed(speed: Speed) -> tuple[str, str]:
    return f"{speed.tokens_per_second:,.0f}", f"{speed.hours:,.2g}" if speed.hours is not None else "?"


def _change_table(plan: Plan) -> Table:
    table = Table("change", "needs, GB", "smallest GPU", "what it does", title="To make it fit", title_justify="left")
    for change in plan.changes:
        smallest = next((fit.gpu.name for fit in plan.fits if change.needed_bytes <= fit.gpu.memory_bytes), "none")
        table.add_row("\n".join(change.overrides), _gb(change.needed_bytes), smallest, change.why)
    return table


def _gb(count: float) -> str:
    return f"{count / 1e9:,.1f}" if count >= 1e8 else f"{count / 1e9:.3f}"


def _count(number: int) -> str:
    for size, unit in ((1e9, "B"), (1e6, "M"), (1e3, "k")):
        if number >= size:
            return f"{number / size:.3g} {unit}"
    return str(number)
