"""`plait collections`: the indexes that there are."""

import typer

from plait.flows.fit import LEAST_QUESTIONS

app = typer.Typer(help="Indexes: list them, look at one, delete one.", no_args_is_help=True)


@app.command("list")
def list_all() -> None:
    """List the collections.

    Example: `plait collections list`
    """
    from rich.console import Console
    from rich.table import Table

    from plait.documents.uploads import made_collections
    from plait.index.collection import Index, list_collections
    from plait.index.stores.connect import connect_store

    store = connect_store()
    names = list_collections(store)
    if not names:
        print("No collections yet. Make one: plait ingest FOLDER collection=NAME")
        return
    table = Table("collection", "documents", "chunks", "embedding model")
    for name in names:
        stats = Index.open(name, store).stats()
        documents = sum(stats.documents_by_tenant.values())
        made = made_collections.find(name)
        shown = f"{name} ({made.name})" if made and made.name else name
        table.add_row(shown, str(documents), str(stats.chunk_count), stats.vectors.model)
    Console().print(table)


@app.command("show")
def show(name: str = typer.Argument(help="The collection.")) -> None:
    """Show what a collection holds, and how fresh it is.

    Example: `plait collections show support`
    """
    from datetime import datetime

    from plait.index.collection import Index
    from plait.index.stores.connect import connect_store

    index = Index.open(name, connect_store())
    stats = index.stats()
    print(f"{stats.name}: {stats.chunk_count} chunks")
    print(f"embedding model: {stats.vectors}")
    print(f"hybrid search: by {'ranks' if index.dense_weight is None else f'dense_weight {index.dense_weight}'}")
    if stats.freshness is not None:
        fresh = stats.freshness
        when = datetime.fromtimestamp(fresh.measured_at / 1000).strftime("%Y-%m-%d %H:%M:%S")
        print(
            f"freshness: {fresh.documents} documents could be found {fresh.median_s:.1f} s (median) to "
            f"{fresh.max_s:.1f} s after their change, in the run of {when}"
        )
    for tenant, documents in stats.documents_by_tenant.items():
        print(f"tenant {tenant}: {documents} documents")


@app.command("fit")
def fit(
    name: str = typer.Argument(help="The collection."),
    questions: str | None = typer.Option(None, help="Table with question and source; else they are written."),
    tenant: str | None = typer.Option(None, help="Whose documents; default: those ingested without a tenant."),
    rerank: str | None = typer.Option(None, help="As the server's retrieval.rerank: cross-encoder, late-interaction."),
    rerank_model: str | None = typer.Option(None, help="With --rerank cross-encoder: as the server's rerank.model."),
    count: int = typer.Option(100, min=LEAST_QUESTIONS, help="Questions to have written."),
    model: str = typer.Option("base", help="The served model that writes them."),
    url: str = typer.Option(None, help="Its server; default: this machine's."),
) -> None:
    """Measure how to fuse words and meaning in hybrid search of a collection, and keep what is best.

    Example: `plait collections fit support --questions questions.jsonl`
    """
    from rich.console import Console
    from rich.progress import track
    from rich.table import Table

    from plait import library_output
    from plait.errors import InvalidInput
    from plait.flows.fit import fit_collection
    from plait.retrieval.request import Retrieval
    from plait.validation import validated

    given = {"tenant": tenant, "rerank": rerank}
    fields = {field: value for field, value in given.items() if value is not None}
    how = validated(Retrieval, fields, "The search", "Correct --tenant or --rerank.")
    if (how.rerank == "cross-encoder") != (rerank_model is not None):
        raise InvalidInput("--rerank cross-encoder and --rerank-model go together.", "Give both, or neither.")
    library_output.set_aside("fit")
    found, asked = fit_collection(
        name,
        how,
        rerank_model,
        questions,
        count,
        model,
        url,
        lambda writing, total: track(writing, "writing questions", total),
    )
    table = Table("strategy", "first", "among five", "MRR of ten", title=f"{asked} questions")
    for quality in (*found.single, *found.fusions):
        shown = f"[bold]{quality.strategy}[/bold]" if quality is found.best else quality.strategy
        table.add_row(shown, f"{quality.recall(1):.2f}", f"{quality.recall(5):.2f}", f"{quality.mrr:.3f}")
    Console().print(table)
    better = max(found.single, key=lambda quality: quality.mrr)
    best = found.best.strategy
    print(f"Hybrid search of '{name}' is fused by {best} from now on, by a running server after its next start.")
    if better.mrr > found.best.mrr:
        print(f"{better.strategy} alone is better on these questions: retrieval.mode={better.strategy}")


@app.command("quarantine")
def quarantine(
    name: str = typer.Argument(help="The collection."),
    tenant: str = typer.Option(None, help="Only this tenant's documents."),
) -> None:
    """List the documents that could not be read, or not all of them (step `note`), where they failed, why, and when.

    They are tried again when they have changed, or with `plait ingest … --retry-quarantined`.

    Example: `plait collections quarantine support`
    """
    from datetime import datetime

    from plait.index.collection import Index
    from plait.index.quarantine import Quarantine
    from plait.index.stores.connect import connect_store

    store = connect_store()
    entries = Quarantine(store, name).entries(tenant)
    if not entries:
        Index.open(name, store)  # says what there is when the name is wrong
        print(f"No document of '{name}' is in quarantine.")
        return
    for entry in entries:  # lines and no table: reasons are sentences
        failure = entry.failure
        when = datetime.fromtimestamp(entry.failed_at / 1000).strftime("%Y-%m-%d %H:%M:%S")
        about = f"tenant {entry.tenant}, {failure.step}, {when}"
        print(failure.source, f"({about}, {failure.content_hash[:12]})" if failure.content_hash else f"({about})")
        print(f"    {failure.reason}")


@app.command("drop")
def drop(
    name: str = typer.Argument(help="The collection."),
    yes: bool = typer.Option(False, "--yes", "-y", help="Do not ask."),
) -> None:
    """Delete a collection and everything in it.

    Example: `plait collections drop support --yes`
    """
    from plait.documents.uploads import made_collections
    from plait.index.collection import Index
    from plait.index.stores.connect import connect_store

    index = Index.open(name, connect_store())
    if not yes:
        typer.confirm(f"Delete collection '{name}' and everything in it?", abort=True)
    made_collections.forget(name)
    index.drop()
    print(f"{name} is deleted")
