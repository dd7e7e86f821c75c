"""`plait evaluate calibrate` and `plait evaluate label`: what a judge is worth, and labels that correct it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import typer
from typer.core import TyperCommand
from typer.main import get_command

from plait.command_line import APPLICATION


class EvaluateCommand(TyperCommand):
    """`plait evaluate`, which has commands of its own beside an eval set for its first argument."""

    def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> Any:
        """That of the command which the first argument names, if it names one."""
        if args and args[0] in _COMMANDS:
            app = typer.Typer(**APPLICATION)
            app.command()(_COMMANDS[args[0]])
            return get_command(app).make_context(f"{info_name} {args[0]}", args[1:], parent, **extra)
        return super().make_context(info_name, args, parent, **extra)


def calibrate(
    data: str = typer.Argument(help="The folder of a run, or an eval set: a path, a URI or a hub id."),
    fields: list[str] = typer.Argument(None, help="Fields of the recipe to set, as in judge.model=NAME seed=1."),
    judge: str = typer.Option(None, help="Who judges: lexical, embedding or nli:MODEL.", show_default="lexical"),
    collection: str = typer.Option(None, help="Where passages of an eval set's sources are looked up."),
    limit: int = typer.Option(None, min=2, help="Make cases of the first so many questions.", show_default="50"),
    out: Path = typer.Option(None, help="Folder for calibration.json.", show_default="the run's, else this one"),
) -> None:
    """Measure what a judge is worth on cases of your own data whose truth is known by construction.

    Example: `plait evaluate calibrate eval.jsonl --collection support --judge embedding`
    """
    import json

    from rich.console import Console

    from plait.evaluation.calibration.calibration import keep_calibration
    from plait.evaluation.runs.run import is_run
    from plait.interruption import explained
    from plait.jobs.evaluate.calibrating import calibrate_judge
    from plait.jobs.evaluate.calibration_table import kinds_table, notes, worth_table
    from plait.recipes import CalibrateRecipe, load_recipe

    given = {"judge": judge, "collection": collection, "limit": limit}
    overrides = [f"{name}={json.dumps(value)}" for name, value in given.items() if value is not None]
    recipe = load_recipe(CalibrateRecipe, None, [f"data={json.dumps(data)}", *(fields or []), *overrides])
    with explained("The calibration was interrupted.", "Run the same command again."):
        found = calibrate_judge(recipe)
    console = Console()
    console.print(worth_table(found))
    console.print(kinds_table(found))
    for note in notes(found):
        console.print(note, highlight=False, markup=False)
    file = keep_calibration(out or (Path(data) if is_run(Path(data)) else Path()), found)
    print(f"kept: {file}")


def label(
    run: Path = typer.Argument(help="The folder of a run."),
    sheet: Path = typer.Argument(None, help="The sheet: written (CSV) unless it is there, else read back."),
    to: str = typer.Option(None, help="mlflow: a review queue of MLflow in place of a sheet."),
    metric: str = typer.Option("faithfulness", help="A metric that a judge has scored."),
    judge: str = typer.Option(None, help="Whose scores.", show_default="the only judge's"),
    count: int = typer.Option(50, min=1, help="Samples to label of every arm; an estimate takes 30."),
    seed: int = typer.Option(0, min=0, help="Of the choice."),
) -> None:
    """Give people the samples that they should label; read their labels for figures that hold whatever the judge is.

    Example: `plait evaluate label ~/.plait/evaluations/eval-1 labels.csv --metric faithfulness`
    """
    from rich.console import Console

    from plait.evaluation.labels.place import label_place
    from plait.jobs.evaluate.label_table import estimates_table
    from plait.jobs.evaluate.labelling import samples_to_label, take_labels

    place = label_place(run, metric, sheet, to)
    given = place.read()
    if given is not None:
        Console().print(estimates_table(metric, take_labels(run, metric, judge, given, place.title)))
        return
    rows = samples_to_label(run, metric, judge, count, seed)
    place.write(rows)
    print(f"{len(rows)} samples to label. {place.how_to}, then run the same command again.")


_COMMANDS: dict[str, Callable[..., None]] = {"calibrate": calibrate, "label": label}
