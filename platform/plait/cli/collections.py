"""`plait collections`: the indexes that there are."""

import typer

app = typer.Typer(help="Indexes: list them, look at one, delete one.", no_args_is_help=True)


@app.command("list")
def list_all() -> None:
    """List the collections.

    Example: `plait collections list`
    """
    from rich.console import Console
    from rich.table import Table

    from plait.index.collection import Index, list_collections

    names = list_collections()
    if not names:
        print("No collections yet. Make one: plait ingest FOLDER collection=NAME")
        return
    table = Table("collection", "documents", "chunks", "embedding model")
    for name in names:
        stats = Index.open(name).stats()
        documents = sum(stats.documents_by_tenant.values())
        table.add_row(name, str(documents), str(stats.chunk_count), stats.embedding_model)
    Console().print(table)


@app.command("show")
def show(name: str = typer.Argument(help="The collection.")) -> None:
    """Show what a collection holds.

    Example: `plait collections show support`
    """
    from plait.index.collection import Index

    stats = Index.open(name).stats()
    print(f"{stats.name}: {stats.chunk_count} chunks")
    print(f"embedding model: {stats.embedding_model} ({stats.dimension} dimensions)")
    for tenant, documents in stats.documents_by_tenant.items():
        print(f"tenant {tenant}: {documents} documents")


@app.command("drop")
def drop(
    name: str = typer.Argument(help="The collection."),
    yes: bool = typer.Option(False, "--yes", "-y", help="Do not ask."),
) -> None:
    """Delete a collection and everything in it.

    Example: `plait collections drop support --yes`
    """
    from plait.index.collection import Index

    index = Index.open(name)
    if not yes:
        typer.confirm(f"Delete collection '{name}' and everything in it?", abort=True)
    index.drop()
    print(f"{name} is deleted")
