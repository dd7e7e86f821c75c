"""`plait plan`: what a training run will need, before it runs."""

import typer


def plan(
    recipe: str = typer.Argument(help="A train recipe file, or the name of a ready recipe (full-zero3)."),
    overrides: list[str] = typer.Argument(None, help="Fields to set, as in model=meta-llama/Llama-3.1-70B."),
    gpu: str = typer.Option(None, "--gpu", help="Plan for this GPU only, as in 'H100 SXM'."),
    gpu_hour_price: float = typer.Option(None, "--gpu-hour-price", help="Price of one GPU for an hour, for the cost."),
    json: bool = typer.Option(False, "--json", help="Print the plan as JSON."),
) -> None:
    """Plan a training run: parameters, memory of a worker by part, time and cost, and which GPUs it fits on.

    Example: `plait plan full-zero3 model=meta-llama/Llama-3.1-70B scale.workers=16`
    """
    from plait.recipes import TrainRecipe, load_recipe

    checked = load_recipe(TrainRecipe, recipe, overrides or [])

    from plait import library_output

    library_output.set_aside("plan")
    from plait.jobs.plan.estimate import estimate

    made = estimate(checked, gpu, gpu_hour_price)
    if json:
        print(made.model_dump_json(indent=2))
        return
    from rich.console import Console

    from plait.jobs.plan.report import show

    show(made, Console())
