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
        table.add_row(name, str(documents), str(stats.chunk_count), stats.vectors.model)
    Console().print(table)


@app.command("show")
def show(name: str = typer.Argument(help="The collection.")) -> None:
    """Show what a collection holds, and how fresh it is.

    Example: `plait collections show support`
    """
    from datetime import datetime

    from plait.index.collection import Index

    stats = Index.open(name).stats()
    print(f"{stats.name}: {stats.chunk_count} chunks")
    print(f"embedding model: {stats.vectors}")
    if stats.freshness is not None:
        fresh = stats.freshness
        when = datetime.fromtimestamp(fresh.measured_at / 1000).strftime("%Y-%m-%d %H:%M:%S")
        print(
            f"freshness: {fresh.documents} documents could be found {fresh.median_s:.1f} s (median) to "
            f"{fresh.max_s:.1f} s after their change, in the run of {when}"
        )
    for tenant, documents in stats.documents_by_tenant.items():
        print(f"tenant {tenant}: {documents} documents")


@app.command("quarantine")
def quarantine(
    name: str = typer.Argument(help="The collection."),
    tenant: str = typer.Option(None, help="Only this tenant's documents."),
) -> None:
    """List the documents that could not be read, where they failed, why, and when.

    They are tried again when they have changed, or with `plait ingest … --retry-quarantined`.

    Example: `plait collections quarantine support`
    """
    from datetime import datetime

    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from plait.index.collection import Index
    from plait.index.connection import Milvus
    from plait.index.quarantine import Quarantine

    entries = Quarantine(Milvus.connect(), name).entries(tenant)
    if not entries:
        Index.open(name)  # says what there is when the name is wrong
        print(f"No document of '{name}' is in quarantine.")
        return
    table = Table("tenant", "document", "step", "reason", "when", "content hash")
    for entry in entries:
        failure = entry.failure
        when = datetime.fromtimestamp(entry.failed_at / 1000).strftime("%Y-%m-%d %H:%M:%S")
        cells = (entry.tenant, failure.source, failure.step, failure.reason, when, failure.content_hash[:12])
        table.add_row(*map(escape, cells))
    Console().print(table)


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
