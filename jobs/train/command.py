"""`plait train`: fine-tune an adapter and register it."""

import typer


def train(
    recipe: str = typer.Argument(help="A recipe file, or the name of a ready recipe (qlora)."),
    overrides: list[str] = typer.Argument(None, help="Fields to set, as in train.lr=1e-4 data.train=train.jsonl."),
    reuse: bool = typer.Option(False, "--reuse", help="If the same run was made before, give its adapter back."),
) -> None:
    """Fine-tune an adapter on examples and register it.

    Ctrl-C and SIGTERM save a checkpoint first. A run that was interrupted goes on from its last checkpoint when the
    same command is run again.

    Example: `plait train qlora name=support data.train=train.jsonl train.epochs=3`
    """
    from plait.recipes import TrainRecipe, load_recipe

    checked = load_recipe(TrainRecipe, recipe, overrides or [])

    from plait import library_output
    from plait.interruption import explained

    library_output.set_aside("train")
    from plait.jobs.train.job import train as run

    with explained("Training was interrupted before its first step.", "Run the same command again."):
        version = run(checked, reuse=reuse)
    figures = "  ".join(f"{name} {value:.4g}" for name, value in version.metadata.metrics.items())
    print(f"{version.key} is registered  ({figures})")
    print(f"{version.path}")
    if checked.promote is not None:
        from plait.jobs.promote.job import promote
        from plait.jobs.promote.sentences import said

        for line in said(promote(version.key, checked.promote)):
            print(line)
