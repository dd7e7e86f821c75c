"""`plait ingest`: bring documents into an index."""

import re
import shlex
from glob import has_magic
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from plait.jobs.ingest.job import IngestReport

_FAILURES_SHOWN = 20
_ASSIGNMENT = re.compile(r"(?P<name>[a-z_]+)[a-z_.]*=")


def ingest(
    inputs: list[str] = typer.Argument(
        help="Folders, files, patterns ('docs/**/*.md') and buckets (s3://…, gs://…) to read, or a recipe file or the "
        "name of a ready recipe (ingest), and fields to set, as in collection=support chunk.max_tokens=128.",
    ),
    retry_quarantined: bool = typer.Option(
        False, "--retry-quarantined", help="Try documents again that could not be read and have not changed."
    ),
    rebuild: bool = typer.Option(
        False, help="Make the index anew beside the present one, and put it in its place when it is whole."
    ),
    watch: bool = typer.Option(False, help="Go on, and follow every change of the sources until Ctrl-C."),
) -> None:
    """Bring documents into an index: read, parse, chunk, embed, write.

    Documents that have not changed since the last run cost nothing, changed ones replace their chunks, and those that
    are gone from the sources leave the index (sync=false keeps them). A run that was interrupted is completed by
    running it again. Documents that cannot be read go to the quarantine (`plait collections quarantine NAME`).

    Example: `plait ingest handbook/ faq.md collection=support`
    """
    from plait import library_output
    from plait.recipes import IngestRecipe, load_recipe

    recipe, overrides = understand(inputs)
    checked = load_recipe(IngestRecipe, recipe, overrides)
    library_output.set_aside("ingest")

    if watch:
        from plait.errors import InvalidInput
        from plait.jobs.ingest.watch import watch as follow

        if rebuild or retry_quarantined:
            raise InvalidInput("--watch goes with neither --rebuild nor --retry-quarantined.", "Run that first.")
        follow(checked, _tell, lambda error: print(f"{error}", flush=True))
        print("no longer watching")
        return
    from plait.interruption import explained
    from plait.jobs.ingest.job import ingest as run

    with explained("Ingestion was interrupted; what is written stays.", "Run the same command again to go on."):
        _tell(run(checked, retry_quarantined, rebuild))


def _tell(report: "IngestReport") -> None:
    for failure in report.failed[:_FAILURES_SHOWN]:
        print(f"not read: {failure.source}: {failure.reason}")
    if len(report.failed) > _FAILURES_SHOWN:
        print(f"not read: {len(report.failed) - _FAILURES_SHOWN} more")
    if report.failed:
        print(f"all that is not read, and why: plait collections quarantine {report.collection}")
    for noted in report.noted[:_FAILURES_SHOWN]:
        print(f"read, but: {noted.source}: {noted.reason}")
    if len(report.noted) > _FAILURES_SHOWN:
        hidden = len(report.noted) - _FAILURES_SHOWN
        print(f"read, but: {hidden} more: plait collections quarantine {report.collection}")
    if report.skipped:
        kinds = ", ".join(f"{count} {suffix}" for suffix, count in sorted(report.skipped.items()))
        print(f"left out, of no known format: {kinds}")
    if report.left_out:
        from plait.documents.listing import described

        print(f"left out, no file of its source: {described(report.left_out)}")
    if report.withheld:
        print(f"not removed: {report.withheld} documents that the sources lack, for any may be a row without an id")
    if report.unknown_chunks:
        print(
            f"{report.unknown_chunks} of {report.chunks_written} chunks are mostly unknown to the embedding model, so "
            "a search by meaning does not find them: choose a multilingual one (embedding.model; docs/ingest.md)"
        )
    print(
        f"{report.collection}: {report.written} documents written ({report.chunks_written} chunks), "
        f"{report.unchanged} unchanged, {report.duplicates} duplicates, {report.removed} removed, "
        f"{len(report.failed)} not read, "
        f"{f'{len(report.noted)} read with a note, ' if report.noted else ''}"
        f"in {report.seconds:.1f} s",
        flush=True,
    )


def understand(arguments: list[str]) -> tuple[str | None, list[str]]:
    """Tell recipe, sources and overrides apart; returns the recipe and all overrides, the sources among them.

    `field=value` is an override when the recipe has the field, else the file of that name, if there is one. What ends
    in .yaml is a recipe. Sources that are given either way are read together, instead of the recipe's own.
    """
    from plait.errors import InvalidInput
    from plait.recipes import IngestRecipe, apply_override, ready_recipes

    recipes: list[str] = []
    sources: list[str] = []
    overrides: list[str] = []
    for argument in arguments:
        is_recipe_file = argument.endswith((".yaml", ".yml"))
        field = _ASSIGNMENT.match(argument)
        is_there = Path(argument).exists()
        if field and (field["name"] in IngestRecipe.model_fields or not is_there):
            overrides.append(argument)
        elif not is_recipe_file and (is_there or has_magic(argument) or "://" in argument):
            sources.append(argument)
        elif is_recipe_file or argument in ready_recipes():
            recipes.append(argument)
        else:
            raise InvalidInput(
                f"There is no file, folder or recipe '{argument}'.",
                f"Give folders or files to read, a recipe ({', '.join(ready_recipes())}), or field=value.",
            )
    for recipe in recipes:
        _check_is_recipe(recipe)
    if len(recipes) > 1:
        raise InvalidInput(f"Two recipes were given: '{recipes[0]}' and '{recipes[1]}'.", "Give one.")
    if sources:
        given: dict[str, Any] = {}
        for override in overrides:
            if override.startswith("sources="):
                apply_override(given, override, IngestRecipe)
        more = given.get("sources")
        if more is None or isinstance(more, list):  # what is neither is refused where the recipe is checked
            overrides.append(_as_override([*sources, *(more or [])]))
    return (recipes[0] if recipes else None), overrides


def _as_override(sources: list[str]) -> str:
    import yaml

    listed = yaml.safe_dump(sources, default_flow_style=True, width=10**9, allow_unicode=True)
    return f"sources={listed.strip()}"


def _check_is_recipe(name: str) -> None:
    """Refuse a document that only ends as a recipe does; what is wrong with a recipe is said when it is loaded.

    Raises:
        InvalidInput: with how to give a document.
    """
    import yaml

    from plait.errors import InvalidInput
    from plait.recipes import IngestRecipe
    from plait.recipes.yaml_text import parse_yaml

    file = Path(name)
    if not file.is_file():
        return
    try:
        values = parse_yaml(file.read_bytes())
    except yaml.YAMLError:
        return
    if not isinstance(values, dict) or not values.keys() & IngestRecipe.model_fields.keys():
        raise InvalidInput(
            f"'{name}' is no recipe of ingest: it has none of its fields ({', '.join(IngestRecipe.model_fields)}).",
            f"To read it as a document, give its folder, or write {shlex.quote(_as_override([name]))}.",
        )
