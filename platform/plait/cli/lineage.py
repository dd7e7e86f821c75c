"""`plait lineage`: what an answer, an adapter or a collection was made from."""

from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from rich.tree import Tree

    from plait.lineage.node import LineageNode

_FACTS_SHOWN = 12
"""Of one node. A recipe has more fields; --json prints all."""


def lineage(
    id: str = typer.Argument(
        help="The X-Request-Id of an answer, an adapter (name, name:version or name@alias), a collection."
    ),
    documents: int = typer.Option(20, min=0, help="Of a collection: as many are named, the others counted."),
    as_json: bool = typer.Option(False, "--json", help="Print everything, as JSON."),
) -> None:
    """Print what an answer, an adapter or a collection was made from: run, data, recipe, evaluations; documents.

    An answer is there while a server keeps it (answers.keep). A name may be that of an adapter and of a collection.

    Example: `plait lineage support:3`
    """
    import json
    from dataclasses import asdict

    from rich.console import Console

    from plait import library_output

    library_output.set_aside("lineage")
    from plait.lineage.lookup import lineages

    found = lineages(id, documents)
    if as_json:
        print(json.dumps([asdict(node) for node in found], indent=2, ensure_ascii=False))
        return
    for node in found:
        Console(highlight=False).print(_tree(node))


def _tree(node: "LineageNode") -> "Tree":
    from rich.text import Text
    from rich.tree import Tree

    shown = Text.assemble((node.kind.replace("_", " "), "dim"), " ", (_plain(node.name), "bold"))
    for name, fact in list(node.facts.items())[:_FACTS_SHOWN]:
        shown.append(f"\n{name}: {_plain(str(fact))}", "dim")
    if len(node.facts) > _FACTS_SHOWN:
        shown.append(f"\n{len(node.facts) - _FACTS_SHOWN} more: --json", "dim")
    if node.note:
        shown.append(f"\n{_plain(node.note)}", "yellow")
    tree = Tree(shown)
    for child in node.children:
        tree.children.append(_tree(child))
    return tree


def _plain(text: str) -> str:
    """In one line, without what would steer a terminal: names and questions are whatever somebody sent."""
    return "".join(character if character.isprintable() else "\ufffd" for character in " ".join(text.split()))
