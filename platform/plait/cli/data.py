"""`plait data`: data for training and evaluation."""

from pathlib import Path
from typing import Literal

import typer

app = typer.Typer(help="Data for training and evaluation: of documents, and of what users say.", no_args_is_help=True)


@app.command("make-questions")
def make_questions(
    sources: list[str] = typer.Argument(
        help="Documents: files, folders, patterns, URIs; or a recipe file (.yaml). And fields to set: ingest.chunk.…=…"
    ),
    out: Path = typer.Option(Path("questions"), help="Folder of what is made."),
    writer: str = typer.Option(
        None, help="Model that writes, by its id at the server; without one, templates over structured facts."
    ),
    url: str = typer.Option(None, help="The writer's API, as http://host:8000/v1; default: this machine's server."),
    count: int = typer.Option(None, min=1, help="Questions of the eval set, at most.", show_default="200"),
    seed: int = typer.Option(None, min=0, help="Of everything that is drawn.", show_default="0"),
) -> None:
    """Make an eval set, training data and changed documents of your documents, by group: learned, held_out, changed,
    unanswerable, multi_hop, form.

    Filters drop what cannot be answered from its passage, what can be without it, what no search finds, and repeats;
    their rates are shown. Killed and run again, a model is asked only what it was not asked before.

    Example: `plait data make-questions handbook/ --writer base --out questions/`
    """
    import json

    from rich.console import Console

    from plait.interruption import explained
    from plait.jobs.questions.job import make_questions as make
    from plait.jobs.questions.tables import filters_table, groups_table, notes, sample_table
    from plait.recipes import QuestionsRecipe, load_recipe

    named = [source for source in sources if "=" not in source]
    fields = [source for source in sources if "=" in source]
    recipe = named.pop(0) if named and named[0].endswith((".yaml", ".yml")) else None
    given = {"writer.model": writer, "writer.base_url": url, "count": count, "seed": seed}
    overrides = [f"ingest.sources={json.dumps(named)}"] if named else []
    overrides += [*fields, *(f"{name}={value}" for name, value in given.items() if value is not None)]
    checked = load_recipe(QuestionsRecipe, recipe, overrides)
    with explained("Making questions was interrupted; replies are kept.", "Run the same command again to go on."):
        made = make(checked, out)
    console = Console()
    console.print(filters_table(made))
    console.print(groups_table(made))
    console.print(sample_table(made, checked.seed))
    for note in notes(made):
        console.print(note, highlight=False, markup=False)
    print(f"everything: {made.folder}")


@app.command("export-feedback")
def export_feedback(
    out: Path = typer.Argument(help="The file, which ends in .jsonl; one that is there is replaced."),
    use: Literal["eval", "sft", "dpo"] = typer.Option(
        "eval",
        "--as",
        help="eval: questions with the right answer; sft: conversations that end with it; dpo: corrections beside the "
        "replies that they correct.",
    ),
) -> None:
    """Write the answers that people rated (POST /v1/feedback) as an eval set or as training data.

    Example: `plait data export-feedback feedback.jsonl --as sft && plait train lora data.train=feedback.jsonl`
    """
    from plait.evaluation.live.export import export_feedback as write
    from plait.evaluation.live.traces import AnswerTraces

    written = write(AnswerTraces().rated(), out, use)
    print(f"{written.rows} rows of {written.rated} rated answers: {out}")
