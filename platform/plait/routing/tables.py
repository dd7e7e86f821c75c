"""Policies for a terminal: what there is, what one is worth or would have been, what one says of a question."""

from collections.abc import Iterator, Sequence

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from plait.routing.off_policy import FEW, OffPolicyEstimate
from plait.routing.policy import RankedArm
from plait.routing.registry import PolicyVersion
from plait.routing.worth import Interval, PolicyWorth


def policies_table(versions: Sequence[PolicyVersion]) -> Table:
    """Every version, and whether it chooses."""
    table = Table("policy", "aliases", "kind", "arms", "accuracy", "tokens", "made")
    for version in versions:
        about, arms = version.saved.about, version.saved.policy.arms
        worth = about.worth
        is_learned = worth is not None and worth.is_enabled
        accuracy = worth.accuracy if worth and is_learned else arms[0].accuracy
        tokens = worth.tokens if worth and is_learned else arms[0].tokens
        table.add_row(
            version.key,
            ", ".join(version.aliases),
            version.saved.config.kind,
            escape(", ".join(arm.name for arm in arms)),
            "" if accuracy is None else f"{accuracy:.0%}",
            "" if tokens is None else f"{tokens:.0f}",
            about.created_at[:16].replace("T", " "),
        )
    return table


def policy_shown(version: PolicyVersion) -> Group:
    """All that is known of one version."""
    return Group(*_parts(version))


def _parts(version: PolicyVersion) -> Iterator[RenderableType]:
    about = version.saved.about
    yield Text(f"{version.key}  {version.path}", style="bold")
    yield Text(f"{version.saved.config.kind}: {about.reason}")
    if about.learner:
        yield Text(f"learned by: {about.learner}")
    yield Text(f"learned from: {about.comparison or 'a comparison'}")
    for arm in version.saved.policy.arms:
        yield Text(f"  {arm.name} is asked as {arm.model}")
    if about.worth is not None:
        yield worth_table(about.worth)
        yield from map(Text, _gains(about.worth))
    yield from map(Text, about.left_out)


def worth_table(worth: PolicyWorth) -> Table:
    """The policy beside all other ways to choose."""
    title = f"On {worth.questions} questions of {worth.groups} documents, none of which the policy had learned from"
    table = Table("chosen by", "right", "tokens an answer", "the policy is right more often by", title=title)
    table.title_justify = "left"
    table.add_row("the policy", f"{worth.accuracy:.1%}", f"{worth.tokens:.0f}", "", style="bold")
    for way in (worth.best_arm, *worth.others, worth.oracle):
        table.add_row(escape(way.name), f"{way.accuracy:.1%}", f"{way.tokens:.0f}", _interval(way.ahead))
    return table


def _gains(worth: PolicyWorth) -> Iterator[str]:
    if worth.gain_at_best is not None:
        yield f"Gain@Best {worth.gain_at_best:+.1%}"
    if worth.gap_at_oracle is not None:
        yield f"Gap@Oracle {worth.gap_at_oracle:.1%}"
    yield f"CostSave {_interval(worth.cost_save)}"
    yield f"Brier score {worth.brier:.3f}; {worth.brier_of_means:.3f} for who knows only how often each arm is right"


def _interval(interval: Interval) -> str:
    return f"{100 * interval.value:+.1f}% ({100 * interval.low:+.1f} to {100 * interval.high:+.1f})"


def estimate_shown(policy: str, score: str, found: OffPolicyEstimate, unscored: int) -> Group:
    """What a policy would have been worth, beside the answers that were given."""
    title = f"{score} of {policy}, from {found.answers} answers to {found.questions} questions"
    table = Table("", score, "95%", "tokens an answer", title=title)
    table.title_justify = "left"
    rows = (
        ("as answered", found.given, f"{found.given_tokens:.0f}"),
        ("the policy, doubly robust", found.doubly_robust, ""),
        ("the policy, inverse propensity", found.weighted, f"{found.tokens:.0f}"),
    )
    for name, interval, tokens in rows:
        table.add_row(name, f"{interval.value:.3f}", f"{interval.low:.3f} to {interval.high:.3f}", tokens)
    chosen = ", ".join(f"{arm} {count / found.answers:.0%}" for arm, count in found.choices.items())
    lines = [
        f"The policy is ahead by {_interval(found.ahead)}, doubly robust.",
        f"It chooses {chosen}. {found.matched} answers are of the arm that it chooses; they tell as much as "
        f"{found.effective:.0f} answers of its own would.",
    ]
    if found.effective < FEW:
        lines.append(f"These are fewer than {FEW}: the intervals are narrower than they should be.")
    if unscored:
        lines.append(f"{unscored} answers have no {score} and are left out.")
    return Group(table, *map(Text, lines))


def ranked_table(ranked: Sequence[RankedArm]) -> Table:
    """Arms, the best first, with their reasons."""
    table = Table("arm", "model", "probably right", "tokens", "why")
    for each in ranked:
        table.add_row(
            escape(each.arm.name),
            escape(each.arm.model),
            "" if each.probability is None else f"{each.probability:.0%}",
            "" if each.arm.tokens is None else f"{each.arm.tokens:.0f}",
            escape(each.reason),
        )
    return table
