"""`plait evaluate`: accuracy of models on an eval set, through a running server."""

from pathlib import Path

import typer


def evaluate(
    data: str = typer.Argument(help="Questions and answers: JSONL, JSON, CSV or Parquet; a path or a URI (s3://…)."),
    models: list[str] = typer.Argument(help="Model ids to compare, as in base support rag/base rag/support."),
    limit: int = typer.Option(None, min=1, help="Ask only the first so many questions."),
    max_tokens: int = typer.Option(None, min=1, help="Longest answer."),
    concurrency: int = typer.Option(None, min=1, help="Questions under way at once."),
    shown: int = typer.Option(0, min=0, help="Questions to show with every model's answer."),
    report: Path = typer.Option(None, help="Also write everything to this JSON file."),
    url: str = typer.Option(None, help="The server; default: this machine's."),
) -> None:
    """Ask a running server an eval set's questions of several models, and compare their accuracy.

    Example: `plait evaluate eval.jsonl base support rag/base rag/support --shown 8`
    """
    from rich.console import Console

    from plait.chat_client import server_url
    from plait.interruption import explained
    from plait.jobs.evaluate.job import evaluate as run
    from plait.jobs.evaluate.tables import accuracy_table, answers_table, comparison
    from plait.recipes import EvaluateRecipe

    how = {"limit": limit, "max_tokens": max_tokens, "concurrency": concurrency}
    given = {name: value for name, value in how.items() if value is not None}
    recipe = EvaluateRecipe(data=data, models=models, **given)
    with explained("The evaluation was interrupted; no answer is kept.", "Run the same command again."):
        found = run(recipe, url or server_url())
    console = Console()
    if shown:
        console.print(answers_table(found, range(min(shown, len(found.questions)))))
    console.print(accuracy_table(found))
    console.print(comparison(found), highlight=False)
    if report is not None:
        report.write_text(found.model_dump_json(indent=2), encoding="utf-8")
        print(f"everything: {report}")
