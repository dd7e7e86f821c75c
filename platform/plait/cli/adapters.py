"""`plait adapters`: the registry of adapters."""

import typer

app = typer.Typer(
    help="Adapters in the registry: list them, look at one, name a version, follow rollouts.", no_args_is_help=True
)


@app.command("list")
def list_adapters() -> None:
    """List every version of every adapter.

    Example: `plait adapters list`
    """
    from rich.console import Console
    from rich.table import Table

    from plait.adapters.registry import Registry

    versions = Registry().list()
    if not versions:
        print("No adapters yet. Train one: plait train qlora name=my-adapter data.train=train.jsonl")
        return
    table = Table("adapter", "aliases", "method", "base model", "eval loss", "made")
    for version in versions:
        about = version.metadata
        table.add_row(
            version.key,
            ", ".join(version.aliases),
            about.method,
            about.base_model,
            f"{about.metrics['eval_loss']:.3f}" if "eval_loss" in about.metrics else "",
            about.created_at[:16].replace("T", " "),
        )
    Console().print(table)


@app.command("show")
def show(adapter: str = typer.Argument(help="name, name:version or name@alias")) -> None:
    """Print the lineage of an adapter: its plait.json.

    Example: `plait adapters show support@champion`
    """
    from rich.console import Console

    from plait.adapters.registry import Registry
    from plait.model_ids import AdapterRef

    version = Registry().resolve(AdapterRef.parse(adapter))
    Console().print(f"[bold]{version.key}[/bold]  {version.path}")
    Console().print_json(version.metadata.model_dump_json())


@app.command("alias")
def alias(
    adapter: str = typer.Argument(help="name, name:version or name@alias"),
    name: str = typer.Argument(help="The alias, as in champion."),
) -> None:
    """Let an alias point to a version.

    Example: `plait adapters alias support:3 champion`
    """
    from plait.adapters.registry import Registry
    from plait.model_ids import AdapterRef

    version = Registry().set_alias(AdapterRef.parse(adapter), name)
    print(f"{version.name}@{name} is now {version.key}")


@app.command("rollouts")
def rollouts(adapter: str | None = typer.Argument(None, help="The name of an adapter; without it, all.")) -> None:
    """Show the last rollout of each adapter: how it stands, and of one adapter what happened when and why.

    Example: `plait adapters rollouts support`
    """
    from rich.console import Console
    from rich.table import Table

    from plait.flows.promote import rollouts

    found = rollouts(adapter)
    if not found:
        print("No rollouts yet. Begin one: plait promote support:4 --eval eval.jsonl")
        return
    table = Table("alias", "champion", "candidate", "stands", "weight", "since")
    for record in found:
        rollout, traffic = record.rollout, record.traffic(record.rollout.alias)
        is_under_way = record.phase == "progressing"
        table.add_row(
            f"{rollout.adapter}@{rollout.alias}",
            f"{rollout.adapter}:{rollout.champion}",
            f"{rollout.adapter}:{rollout.candidate}",
            rollout.step_name(record.state.stage) if is_under_way else record.phase.replace("_", " "),
            f"{traffic.weight:.0%}" if traffic else "",
            f"{record.state.since if is_under_way else record.state.events[-1].at:%Y-%m-%d %H:%M} UTC",
        )
    Console().print(table)
    for event in found[0].state.events if adapter is not None else ():
        print(f"{event.at:%Y-%m-%d %H:%M:%S} UTC  {event.what.replace('_', ' ')}: {event.why}")
