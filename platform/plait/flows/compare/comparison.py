"""Fine-tune, retrieve, or both? Index, train and serve; ask an eval set of each; judge.

In: a compare recipe. Out: the verdict, every answer, and the page that shows both. It stands above jobs and serving,
which never import each other.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from plait.flows.compare.verdict import Verdict
    from plait.jobs.evaluate.report import EvaluationReport
    from plait.recipes import CompareRecipe


@dataclass(frozen=True)
class Comparison:
    """What a comparison found; `page` shows it."""

    verdict: "Verdict"
    evaluation: "EvaluationReport"
    page: Path


def run_comparison(recipe: "CompareRecipe", report: Path | None = None, url: str | None = None) -> Comparison:
    """Ask all arms of a recipe, through the server at `url`, or one that stands while this runs; judge them.

    `report`: a folder; None: PLAIT_HOME/comparisons/ADAPTER.

    Raises:
        DataError: when no question has an answer.
        Conflict: when an application of Plait's is served already, which this one would replace.
        PlaitError: what ingestion, training, serving or the evaluation says.
    """
    from plait.errors import DataError
    from plait.evaluation.eval_set import read_questions
    from plait.flows.compare.page import write_pages
    from plait.flows.compare.verdict import verdict_of
    from plait.interruption import explained
    from plait.jobs.evaluate.job import evaluate
    from plait.recipes import EvaluateRecipe
    from plait.recipes.evaluate import EvalSetConfig
    from plait.settings import settings

    asked = EvaluateRecipe(
        models=recipe.arms, metrics=["contains"], **recipe.model_dump(include=set(EvalSetConfig.model_fields))
    )
    # Before minutes of training:
    if not any(question.answers for question in read_questions(recipe.data, recipe.limit)):
        raise DataError(f"No question of '{recipe.data}' has an answer, which compare judges by.", "Add answers.")
    how_to_go_on = "Run the same command again: what is indexed, trained and answered is used again."
    with explained("The comparison was interrupted.", how_to_go_on):
        if url is not None:
            found = evaluate(asked, url)
        else:
            with served(recipe) as own_url:
                found = evaluate(asked, own_url)
    verdict = verdict_of(found, recipe.significance)
    folder = report or settings().root / "comparisons" / recipe.train.name
    return Comparison(verdict, found, write_pages(folder, verdict, found))


@contextmanager
def served(recipe: "CompareRecipe") -> Iterator[str]:
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
