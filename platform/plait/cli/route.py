"""`plait route`: policies, which choose an arm for each question."""

from pathlib import Path

import typer

app = typer.Typer(
    help="Policies: learn which arm answers which question best, show, ask or evaluate one.",
    no_args_is_help=True,
)


@app.command("train")
def train(
    comparison: Path = typer.Argument(help="The folder of a comparison, as ~/.plait/comparisons/support."),
    name: str = typer.Option(help="What the policy is called; it becomes the next version of that name."),
    trade: str = typer.Option("balanced", help="quality, balanced, cheap, or points of accuracy per 1,000 tokens."),
    words_only: bool = typer.Option(
        False, "--words-only", help="Learn from words, and need no embedding of questions."
    ),
    seed: int = typer.Option(0, min=0, help="Of the folds."),
) -> None:
    """Learn from a comparison which arm answers which question best, and judge that on questions left out.

    It is used only where it is surely better than the best single arm; else the policy is that arm.

    Example: `plait route train ~/.plait/comparisons/support --name support`
    """
    from rich.console import Console

    from plait import library_output
    from plait.routing.trade import trade_of

    points = trade_of(trade)
    library_output.set_aside("route")
    from plait.flows.route import embedding_like, train_policy
    from plait.jobs.compare.outcomes import read_outcomes
    from plait.routing.tables import policy_shown

    found = read_outcomes(comparison)
    embedding = None if words_only else embedding_like(found.embedding)
    Console().print(policy_shown(train_policy(found, name, points, embedding, seed)))


@app.command("show")
def show(
    policy: str | None = typer.Argument(None, help="name, name:version or name@alias; without it, all are listed."),
) -> None:
    """Show what a policy is worth, or list all.

    Example: `plait route show support`
    """
    from rich.console import Console

    from plait.adapters.tracking import tracking_client
    from plait.routing.registry import PolicyRegistry, policy_ref
    from plait.routing.tables import policies_table, policy_shown

    ref = None if policy is None else policy_ref(policy)
    registry = PolicyRegistry(tracking_client())
    if ref is not None:
        Console().print(policy_shown(registry.resolve(ref)))
        return
    versions = registry.list()
    if not versions:
        print("No policies yet. Learn one: plait route train COMPARISON_FOLDER --name support")
        return
    Console().print(policies_table(versions))


@app.command("explain")
def explain(
    question: str = typer.Argument(help="A question."),
    policy: str = typer.Option(help="name, name:version, name@alias, or a rule file (.yaml)."),
    collection: str = typer.Option("", help="That would be searched."),
    language: str = typer.Option("", help="Of the question, as in de."),
    key: str = typer.Option("", help="The name of the API key."),
) -> None:
    """Say which arm a policy would choose for a question, and why.

    Example: `plait route explain "How long is the warranty?" --policy support`
    """
    from rich.console import Console

    from plait import library_output

    library_output.set_aside("route")
    from plait.flows.route import explain as ask
    from plait.routing.policy import RouteRequest
    from plait.routing.tables import ranked_table

    found = ask(policy, RouteRequest(question, collection=collection, language=language, key=key))
    Console().print(ranked_table(found.ranked))


@app.command("evaluate")
def evaluate(
    policy: str = typer.Argument(help="name, name:version, name@alias, or a rule file (.yaml)."),
    by: str = typer.Option(
        "answer_relevance", help="The score that counts: a metric of the server's judge, or rating."
    ),
) -> None:
    """Estimate what a policy would have been worth on the answers of `auto` that a server kept while it explored.

    Example: `plait route evaluate support:3 --by rating`
    """
    from rich.console import Console

    from plait import library_output

    library_output.set_aside("route")
    from plait.flows.route import evaluate as estimated
    from plait.routing.tables import estimate_shown

    found = estimated(policy, by)
    Console().print(estimate_shown(found.policy, found.score, found.estimate, found.unscored))
