"""`plait compare`: fine-tune, retrieve, or both?"""

from pathlib import Path

import typer


def compare(
    recipe: str = typer.Argument(help="A compare recipe file: data, ingest, train."),
    overrides: list[str] = typer.Argument(None, help="Fields to set, as in train.train.max_steps=28 limit=50."),
    report: Path = typer.Option(
        None, help="Folder for compare.html and compare.json; default: PLAIT_HOME/comparisons/ADAPTER."
    ),
    url: str | None = typer.Option(
        None, help="A server that has all four models already: ingest, train and serve nothing."
    ),
) -> None:
    """Fine-tune, retrieve, or both: index documents, train an adapter, serve both, ask an eval set of the four ways to
    answer, and say which is best, how surely, and at what cost.

    What is indexed and trained already is used again. What it serves it takes down at the end.

    Example: `plait compare compare.yaml limit=100 --report compare/`
    """
    from rich.console import Console

    from plait import library_output
    from plait.recipes import CompareRecipe, load_recipe

    checked = load_recipe(CompareRecipe, recipe, overrides or [])
    library_output.set_aside("compare")
    from plait.flows.compare.comparison import run_comparison
    from plait.jobs.evaluate.tables import figures_table, kinds_table

    found = run_comparison(checked, report, url)
    console = Console()
    console.print(figures_table(found.evaluation))
    if found.evaluation.kinds:
        console.print(kinds_table(found.evaluation))
    console.print(found.verdict.sentence, highlight=False)
    print(f"everything: {found.page}")
