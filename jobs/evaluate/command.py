"""`plait evaluate`: what the answers of models are worth, on an eval set, through a running server."""

import json
from collections.abc import Sequence
from pathlib import Path

import typer


def evaluate(
    data: str | None = typer.Argument(
        None,
        help="Questions: JSONL, JSON, CSV or Parquet; a path, a URI (s3://…) or a hub id. Or a recipe file (.yaml).",
    ),
    models: list[str] = typer.Argument(
        None, help="Model ids to compare, as in base support rag/base, and fields of the recipe to set."
    ),
    samples: str | None = typer.Option(
        None, help="Judge samples that were answered before: the folder of a run, or a table. No server is asked."
    ),
    metric: list[str] = typer.Option(
        None, help="A metric; may be given several times.", show_default="those that apply and need no model"
    ),
    judge: str = typer.Option(None, help="Who judges: lexical, embedding or nli:MODEL.", show_default="lexical"),
    gate: list[str] = typer.Option(
        None, help="End with 1 unless it is reached, as in 'rag/base: faithfulness >= 0.8 at 95%'."
    ),
    price: list[str] = typer.Option(
        None, help="Of a million tokens read/written, as in 0.15/0.60, or of an arm, as in rag/base=0.15/0.60."
    ),
    limit: int = typer.Option(None, min=1, help="Only the first so many.", show_default="all"),
    max_tokens: int = typer.Option(None, min=1, help="Longest answer, in tokens.", show_default="48"),
    concurrency: int = typer.Option(None, min=1, help="Questions under way at once.", show_default="8"),
    shown: int = typer.Option(0, min=0, help="Questions to show with every model's answer."),
    out: Path = typer.Option(None, help="Folder of the run.", show_default="PLAIT_HOME/evaluations/NAME"),
    track: bool = typer.Option(True, help="Log the run to MLflow."),
    url: str = typer.Option(None, help="The server; default: this machine's."),
) -> None:
    """Ask a running server an eval set's questions of several models, and say what the answers are worth.

    Every answer is kept as it comes. An evaluation that was interrupted is gone on with by running it again.

    Example: `plait evaluate eval.jsonl base support rag/base rag/support --shown 8 --gate 'contains >= 0.8 at 95%'`
    """
    from rich.console import Console

    from plait.errors import InvalidInput
    from plait.evaluation.gate import Gate, check_gates
    from plait.interruption import explained
    from plait.recipes import EvaluateRecipe, SamplesRecipe, load_recipe, prices_override

    given = {"limit": limit, "max_tokens": max_tokens, "concurrency": concurrency}
    overrides = [f"{name}={value}" for name, value in given.items() if value is not None]
    overrides += [f"{name}={json.dumps(texts)}" for name, texts in (("metrics", metric), ("gates", gate)) if texts]
    overrides += [f"judge={json.dumps(judge)}"] if judge is not None else []
    overrides += [prices_override(price)] if price else []
    checked: EvaluateRecipe | SamplesRecipe
    if samples is not None:
        fields = [argument for argument in (data, *(models or [])) if argument is not None]
        if any("=" not in field for field in fields):
            raise InvalidInput("--samples goes with neither an eval set nor models: nobody is asked.", "Leave one out.")
        checked = load_recipe(SamplesRecipe, None, [f"samples={json.dumps(samples)}", *fields, *overrides])
    else:
        recipe, fields = understand([data, *(models or [])] if data is not None else [])
        checked = load_recipe(EvaluateRecipe, recipe, [*fields, *overrides])
    gates = [Gate.parse(text) for text in checked.gates]
    from plait.adapters.tracking import tracking_client
    from plait.chat_client import server_url
    from plait.jobs.evaluate.job import PAGE, judge_samples
    from plait.jobs.evaluate.job import evaluate as run
    from plait.jobs.evaluate.tables import answers_table, costs_table, figures_table, kinds_table, notes

    client = tracking_client() if track else None  # one that is down is said to be before anything is asked
    with explained(
        "The evaluation was interrupted; what was answered is kept.", "Run the same command again to go on."
    ):
        if isinstance(checked, SamplesRecipe):
            found = judge_samples(checked, out)
        else:
            found = run(checked, url or server_url(), out)
    console = Console()
    if shown:
        console.print(answers_table(found, range(min(shown, len(found.of_arm(found.arms[0]))))))
    console.print(figures_table(found))
    if found.kinds:
        console.print(kinds_table(found))
    if found.costs:
        console.print(costs_table(found))
    for note in notes(found):
        console.print(note, highlight=False, markup=False)
    if client is not None:
        from plait.jobs.evaluate.tracked import track as log

        log(client, found, checked)
    print(f"report: {found.folder}/{PAGE}")
    print(f"everything: {found.folder}")
    check_gates(gates, found.arms, lambda name, arm, level: found.figure(name, arm, confidence=level))


def understand(arguments: Sequence[str]) -> tuple[str | None, list[str]]:
    """The recipe file, if one is given, and fields to set: data and models are told by where they stand."""
    names = [argument for argument in arguments if "=" not in argument]
    fields = [argument for argument in arguments if "=" in argument]
    recipe = names.pop(0) if names and names[0].endswith((".yaml", ".yml")) else None
    if recipe is None and names:
        fields.insert(0, f"data={json.dumps(names.pop(0))}")
    if names:
        fields.insert(0, f"models={json.dumps(names)}")
    return recipe, fields
