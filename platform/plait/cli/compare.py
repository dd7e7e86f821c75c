"""`plait compare`: fine-tune, retrieve, or both?

The orchestration stands here, in the command, because it touches jobs and serving, which never import each other.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from plait.recipes import CompareRecipe


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

    from plait.recipes import CompareRecipe, EvaluateRecipe, load_recipe

    checked = load_recipe(CompareRecipe, recipe, overrides or [])
    asked = EvaluateRecipe(
        data=checked.data,
        models=checked.arms,
        max_tokens=checked.max_tokens,
        concurrency=checked.concurrency,
        limit=checked.limit,
    )

    from plait import library_output
    from plait.interruption import explained

    library_output.set_aside("compare")
    from plait.jobs.compare.page import write_pages
    from plait.jobs.compare.verdict import judge
    from plait.jobs.evaluate.job import evaluate
    from plait.jobs.evaluate.questions import read_questions
    from plait.jobs.evaluate.tables import accuracy_table
    from plait.settings import settings

    read_questions(Path(checked.data).expanduser())  # before minutes of training
    how_to_go_on = "Run the same command again: what is indexed and trained is used again, answers are not kept."
    with explained("The comparison was interrupted.", how_to_go_on):
        if url is not None:
            found = evaluate(asked, url)
        else:
            with _served(checked) as own_url:
                found = evaluate(asked, own_url)
    verdict = judge(found, checked.significance)
    page = write_pages(report or settings().root / "comparisons" / checked.train.name, verdict, found)
    console = Console()
    console.print(accuracy_table(found))
    console.print(verdict.sentence, highlight=False)
    print(f"everything: {page}")


@contextmanager
def _served(recipe: "CompareRecipe") -> Iterator[str]:
    """Index, train and serve; the application is taken down afterwards.

    Raises:
        Conflict: when an application of Plait's is served already, which this one would replace.
    """
    from plait.errors import Conflict
    from plait.local.ray_head import connect

    connect()

    from plait.jobs.ingest.job import ingest
    from plait.jobs.train.job import train
    from plait.serve.deploy import APPLICATION, deploy, is_served, take_down

    config = _serve_config(recipe)
    if is_served(APPLICATION):
        raise Conflict(
            "The cluster serves an application of Plait's already, which this one would replace.",
            "Compare through it (--url http://127.0.0.1:8000), or take it down first.",
        )
    indexed = ingest(recipe.ingest)
    print(
        f"indexed {indexed.collection}: {indexed.written} documents written, {indexed.unchanged} unchanged", flush=True
    )
    print(f"trained {train(recipe.train, reuse=True).key}", flush=True)
    try:
        yield deploy(config, on_progress=print)
    finally:
        take_down()


def _serve_config(recipe: "CompareRecipe") -> dict[str, Any]:
    """The ready configuration with the recipe's base model, index and args, checked."""
    from plait.serve.app import parse
    from plait.serve.deploy import read_config

    config = read_config("local", [])
    (application,) = config["applications"]
    own = {"llm": {"model": recipe.train.model.source}, "retrieval": {"collection": recipe.ingest.collection}}
    args = application["args"]
    for section, values in (*own.items(), *recipe.serve.items()):
        mergeable = isinstance(values, dict) and isinstance(args.get(section), dict)
        args[section] = {**args[section], **values} if mergeable else values
    parse(args)
    return config
