"""`plait promote` and `plait rollback`: from a registered version to an alias's traffic, and back."""

import json

import typer


def promote(
    candidate: str = typer.Argument(help="A version in the registry, as in support:4; support alone is the newest."),
    arguments: list[str] = typer.Argument(
        None, help="A recipe file, and fields of the recipe to set, as in canary.steps=[10,50] gate=null."
    ),
    questions: str | None = typer.Option(None, "--eval", help="The eval set of the gate."),
    url: str | None = typer.Option(None, help="The server that is asked at the gate; default: this machine's."),
) -> None:
    """Promote an adapter: a gate against the champion on an eval set, then a canary whose share rises by itself.

    A gate that is not met changes nothing. Serving carries the canary on, and rolls it back by itself when it is worse.

    Example: `plait promote support:4 --eval eval.jsonl canary.quality=faithfulness`
    """
    from plait import library_output
    from plait.interruption import explained
    from plait.recipes import PromoteRecipe, load_recipe

    named = [argument for argument in arguments or [] if "=" not in argument]
    overrides = [argument for argument in arguments or [] if "=" in argument]
    overrides.insert(0, f"candidate={json.dumps(candidate)}")
    if questions is not None:
        overrides.append(f"gate.evaluate.data={json.dumps(questions)}")
    if url is not None:
        overrides.append(f"url={json.dumps(url)}")
    recipe = load_recipe(PromoteRecipe, named[0] if named else None, overrides)
    library_output.set_aside("promote")
    from plait.flows.promote import promote as run
    from plait.jobs.promote.sentences import said

    with explained("The gate was interrupted; nothing was promoted.", "Run the same command again to go on."):
        found = run(recipe)
    for line in said(found):
        print(line)


def rollback(
    adapter: str = typer.Argument(help="The name of an adapter, as in support."),
    why: str = typer.Option("a person asked", help="Kept with the rollout."),
) -> None:
    """Take a version back: end the rollout that is under way, or let the alias mean what it meant before the last one.

    Example: `plait rollback support --why "wrong tone"`
    """
    from plait.flows.promote import roll_back

    print(roll_back(adapter, why))
