"""`plait adapters`: the registry of adapters."""

import typer

app = typer.Typer(help="Adapters in the registry: list them, look at one, name a version.", no_args_is_help=True)


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
