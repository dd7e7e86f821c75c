"""From an order to fine-tune to the recipe of `plait train`.

In: what a client asks for, and what the server's recipes say. Out: a checked recipe, and the hyperparameters that it
trains with. It starts nothing.
"""

from glob import escape  # a file's name may look like a pattern, as rows[1].jsonl
from pathlib import Path

from plait.client_jobs.tuning import Hyperparameters
from plait.errors import InvalidField, RecipeError
from plait.recipes import TrainRecipe, load_recipe
from plait.serve.api.fine_tuning.requests import NewTuningJob
from plait.serve.messages.arguments import AppArguments

_ANY = "name=any"


def check_recipes(arguments: AppArguments) -> None:
    """Find out before anything starts whether the recipes of fine-tuning can be used.

    Raises:
        RecipeError: when there is no such recipe, it or a field of it is not valid, or it is none of its method.
    """
    tuning = arguments.fine_tuning
    for field, name, is_dpo in (("recipe", tuning.recipe, False), ("dpo_recipe", tuning.dpo_recipe, True)):
        recipe = load_recipe(TrainRecipe, name, [*tuning.fields, _ANY, f"model.source={arguments.llm.model}"])
        if (recipe.objective.kind == "dpo") != is_dpo:
            raise RecipeError(
                f"fine_tuning.{field} is '{name}', whose objective is {recipe.objective.kind}.",
                "Name one of objective.kind=dpo." if is_dpo else "Name one of another objective.",
            )
        if recipe.adapter.trains_base:
            raise RecipeError(f"fine_tuning.{field} is '{name}', which trains a whole model.", "Name one of adapters.")


def recipe_of(
    asked: NewTuningJob,
    name: str,
    start_from: str | None,
    training: Path,
    validation: Path | None,
    arguments: AppArguments,
) -> TrainRecipe:
    """The recipe that an order means.

    Args:
        asked: the order.
        name: of the adapter that is made.
        start_from: the adapter to train on; None: the base model.
        training, validation: files of rows.
        arguments: of the application.

    Raises:
        InvalidField: for more epochs than this server trains.
        RecipeError: when the server's recipe is not valid.
    """
    tuning, wanted = arguments.fine_tuning, asked.wanted
    if wanted.n_epochs != "auto" and wanted.n_epochs > tuning.max_epochs:
        raise InvalidField(
            f"The job asks for {wanted.n_epochs} epochs, and this server trains {tuning.max_epochs} at most.",
            "Ask for fewer.",
            "method" if asked.method else "hyperparameters",
        )
    chosen = tuning.dpo_recipe if asked.kind == "dpo" else tuning.recipe
    fields = [
        *tuning.fields,
        f"name={name}",
        f"model.source={arguments.llm.model}",
        f"continue_from={start_from or 'null'}",
        f"data.train={escape(str(training))}",
        f"data.eval={escape(str(validation)) if validation else 'null'}",
    ]
    if wanted.n_epochs != "auto":
        fields += [f"train.epochs={wanted.n_epochs}", "train.max_steps=null"]
    if wanted.batch_size != "auto":
        fields.append(f"train.batch_size={wanted.batch_size}")
    if asked.seed is not None:
        fields.append(f"train.seed={asked.seed}")
    if asked.beta not in (None, "auto"):
        fields.append(f"objective.beta={asked.beta}")
    recipe = load_recipe(TrainRecipe, chosen, fields)
    if wanted.learning_rate_multiplier != "auto":
        rate = recipe.train.lr * wanted.learning_rate_multiplier
        recipe = load_recipe(TrainRecipe, chosen, [*fields, f"train.lr={rate!r}"])
    return recipe


def hyperparameters_of(asked: NewTuningJob, recipe: TrainRecipe) -> Hyperparameters:
    """What a job trains with, as OpenAI's shape has it."""
    train, multiplier, beta = recipe.train, asked.wanted.learning_rate_multiplier, asked.beta
    is_whole = train.max_steps is None and train.epochs.is_integer()
    return Hyperparameters(
        n_epochs=int(train.epochs) if is_whole else "auto",
        batch_size=train.batch_size,
        learning_rate_multiplier=1.0 if multiplier == "auto" else multiplier,
        beta=getattr(recipe.objective, "beta", beta) if asked.kind == "dpo" else None,
    )
