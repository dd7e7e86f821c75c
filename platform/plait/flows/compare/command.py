"""`plait compare`: fine-tune, retrieve, or both?"""

import shlex
from pathlib import Path

import typer


def compare(
    recipe: str = typer.Argument(help="A compare recipe file: name, data, ingest, tuned arms."),
    overrides: list[str] = typer.Argument(None, help="Fields to set, as in tuned.knowledge.train.lr=1e-4 limit=50."),
    out: Path = typer.Option(None, help="Folder of all that is found.", show_default="PLAIT_HOME/comparisons/NAME"),
    url: str | None = typer.Option(None, help="A server with this index and these adapters: nothing is served here."),
    keep_serving: bool = typer.Option(False, help="Leave the application up afterwards."),
    track: bool = typer.Option(True, help="Log the comparison to MLflow."),
) -> None:
    """Fine-tune, retrieve, or both: index documents, train adapters, serve, ask an eval set of every way to answer, and
    say which is best for which kind of question, how surely, and at what cost.

    What is indexed, trained and answered already is used again, also after an interruption.

    Example: `plait compare compare.yaml limit=100 --out comparison/`
    """
    from rich.console import Console

    from plait import library_output
    from plait.recipes import CompareRecipe, load_recipe

    checked = load_recipe(CompareRecipe, recipe, overrides or [])
    library_output.set_aside("compare")
    from plait.flows.compare.comparison import run_comparison
    from plait.jobs.compare.console import shown

    command = shlex.join(["plait", "compare", recipe, *(overrides or [])])
    found = run_comparison(checked, out, url, keep_serving, command)
    Console().print(shown(found.verdict))
    if track:
        from plait.adapters.tracking import tracking_client
        from plait.jobs.compare.tracked import track as log

        log(tracking_client(), found.findings, found.verdict, found.page.parent)
    print(f"everything: {found.page}")
