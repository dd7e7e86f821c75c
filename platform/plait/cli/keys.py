"""`plait keys`: who may use the server, and for what."""

from typing import TYPE_CHECKING

import typer

from plait.scope import Scope

if TYPE_CHECKING:
    from plait.api_keys import ApiKey

app = typer.Typer(
    help="API keys: make, list, revoke. As soon as there is one, the server answers nobody without.",
    no_args_is_help=True,
)


@app.command("create")
def create(
    name: str = typer.Argument(help="Whose it is, for the list."),
    scope: list[Scope] = typer.Option(
        [Scope.INFER],
        help="infer: ask; documents: upload files, make collections and search them; jobs: fine-tune, order batches; "
        "admin: all of it, and load adapters. May be given more than once.",
    ),
    tenant: str = typer.Option(
        None, help="Whose documents it searches and writes; default: any, and files go to the server's."
    ),
    collection: list[str] = typer.Option(None, help="May use this one, may be given twice; default: all."),
    adapter: list[str] = typer.Option(None, help="May use this one, may be given twice; default: all."),
    days: int = typer.Option(None, min=1, help="It expires after so many; default: never."),
) -> None:
    """Make a key and print it: it is shown this once. The first one closes the API to everybody without a key.

    Example: `plait keys create support-bot --tenant acme --collection handbook --days 90`
    """
    import sys

    from plait import api_keys
    from plait.settings import settings

    is_first = not settings().keys_path.exists()
    key, secret = api_keys.create(
        name,
        frozenset(scope),
        tenant=tenant,
        collections=tuple(collection) if collection else None,
        adapters=tuple(adapter) if adapter else None,
        days=days,
    )
    print(f"key {key.id} for {key.name}, {_about(key)}; it is shown only now:", file=sys.stderr)
    if is_first:
        print(
            "It is the first: from now on the server answers nobody without a key. Give each client one.",
            file=sys.stderr,
        )
    print(secret)


@app.command("list")
def list_keys() -> None:
    """List the keys, without the keys themselves.

    Example: `plait keys list`
    """
    from rich.console import Console
    from rich.table import Table

    from plait import api_keys

    keys = api_keys.all_keys()
    if keys is None:
        print("No keys yet: whoever reaches the server may ask it. Make one: plait keys create my-service")
        return
    table = Table("id", "name", "may", "made", "expires")
    for key in keys:
        expires = "never" if key.expires_at is None else _day(key.expires_at) + (" (expired)" if key.is_expired else "")
        table.add_row(key.id, key.name, _about(key), _day(key.created_at), expires)
    Console().print(table)
    if not keys:
        print("All are revoked: the server answers nobody but the holder of PLAIT_ADMIN_KEY.")


@app.command("revoke")
def revoke(key_id: str = typer.Argument(help="The id that the list shows.")) -> None:
    """Take a key away; a running server refuses it at once.

    Example: `plait keys revoke 1f0c9a3e`
    """
    from plait import api_keys

    gone = api_keys.revoke(key_id)
    print(f"key {gone.id} for {gone.name} is revoked")


def _about(key: "ApiKey") -> str:
    parts = [" and ".join(sorted(key.scopes))]
    if key.tenant is not None:
        parts.append(f"tenant {key.tenant}")
    for noun, names in (("collections", key.collections), ("adapters", key.adapters)):
        if names is not None:
            parts.append(f"{noun} {', '.join(names)}")
    return "; ".join(parts)


def _day(at: int) -> str:
    from datetime import UTC, datetime

    return datetime.fromtimestamp(at, UTC).date().isoformat()
