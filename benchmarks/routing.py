"""What is a learned router worth, and how long does it take to choose?

Comparisons that were made before (`plait compare`): the demo's, and one over another corpus. A policy is learned of
each at the trade `balanced`, and judged on documents that it had not learned from, beside the best single arm, a random
mix of the same cost and the oracle. Of its own time, the embedding of the question is told apart; nothing is searched.
"""

import time
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

from harness.results import options, publish, spread
from threadpoolctl import threadpool_limits

from plait.errors import InvalidInput
from plait.flows.route import embedding_like
from plait.jobs.compare.outcomes import read_outcomes
from plait.models.embedding import kind_of
from plait.routing.drift import seen_questions
from plait.routing.learning import choices_of, learn
from plait.routing.policy import RouteRequest
from plait.routing.trade import TRADES
from plait.routing.trained import learned_config
from plait.routing.worth import PolicyWorth, worth_of
from plait.settings import settings

GOAL_MS = 3.0
"""The router's own time at the median, embedding included, without a search."""
_TRADE = "balanced"
_USUAL = ("demo", "python", "python-instruct")
"""Comparisons that docs/compare.md has the commands of."""
_QUICK_QUESTIONS = 50


@dataclass(frozen=True)
class Measured:
    """One comparison: what the policy is worth at each seed, and the milliseconds of each question."""

    name: str
    worths: tuple[PolicyWorth, ...]
    learner: str
    embed_ms: tuple[float, ...]
    choose_ms: tuple[float, ...]

    @property
    def own_ms(self) -> list[float]:
        return [embed + choose for embed, choose in zip(self.embed_ms, self.choose_ms, strict=True)]


def main() -> None:
    usual = tuple(settings().root / "comparisons" / name for name in _USUAL)
    given = options(__doc__ or "", runs=3, folders=usual)
    folders = [folder for folder in given.folders if folder not in usual or folder.is_dir()]
    if not folders:
        raise InvalidInput(f"There is no comparison in {usual[0].parent}.", "Make one: make demo, or name folders.")
    found = [_measured(folder, given.runs, given.quick) for folder in folders]
    ratios: dict[str, float] = {}
    for number, each in enumerate(found):
        ratios |= {f"{name}{f'_{number + 1}' if number else ''}": value for name, value in _ratios(each).items()}
    counts = {"comparisons": [each.name for each in found]}
    publish("routing", "A learned router, against the best single arm", _body(found), ratios, given, counts)


def _measured(folder: Path, runs: int, is_quick: bool) -> Measured:
    found = read_outcomes(folder)
    embedding, points = embedding_like(found.embedding), TRADES[_TRADE]
    outcomes = replace(found.outcomes, vectors=embedding.encode_queries(found.outcomes.questions))
    with threadpool_limits(1):
        worths = [worth_of(outcomes, choices_of(outcomes, points, seed), points) for seed in range(runs)]
        learned = learn(outcomes, points, seed=0)
    policy = learned_config(learned.estimator, outcomes, points, kind_of(embedding)).open(learned.estimator.arrays)
    seen = seen_questions(outcomes, policy.vectors is not None, seed=0)
    embed_ms, choose_ms = [], []
    for question in ["warm up", *outcomes.questions[: _QUICK_QUESTIONS if is_quick else None]]:
        began = time.perf_counter()
        vector = None if policy.vectors is None else embedding.encode_queries([question])[0]
        embedded = time.perf_counter()
        policy.rank(RouteRequest(question, vector))
        if seen is not None:
            seen.distance(question, vector)
        embed_ms.append(1000 * (embedded - began))
        choose_ms.append(1000 * (time.perf_counter() - embedded))
    return Measured(folder.name, tuple(worths), learned.learner, tuple(embed_ms[1:]), tuple(choose_ms[1:]))


def _ratios(found: Measured) -> dict[str, float]:
    worths = found.worths
    ratios = {
        "enabled": median(float(worth.is_enabled) for worth in worths),
        "gain_at_best": median(worth.gain_at_best or 0.0 for worth in worths),
        "gap_at_oracle": median(worth.gap_at_oracle or 0.0 for worth in worths),
        "cost_save": median(worth.cost_save.value for worth in worths),
        "own_p50_vs_goal": median(found.own_ms) / GOAL_MS,
    }
    return {name: round(value, 4) for name, value in ratios.items()}


def _body(found: list[Measured]) -> str:
    points = TRADES[_TRADE]
    lines = [
        "The comparisons of [compare.md](compare.md#what-it-finds-on-another-corpus): the demo's (`make demo`), and of "
        "Python's library reference with a base and an instruct model.",
        f"At the trade `{_TRADE}` ({points:g} points per 1,000 tokens), on questions of documents that the policy had "
        "not learned from; medians over seeds of the",
        "folds, in brackets the smallest and the largest. Names of the gains: LLMRouterBench's (arXiv:2601.07206). A "
        "policy that is not surely worth it",
        "is not used: the best arm answers. Times are of one question after the other, in one process.",
        "",
        "| comparison | questions, documents | learned by | policy, right | best arm, right | ahead, 95% | Gain@Best "
        "| Gap@Oracle | CostSave | used |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for each in found:
        first, worths = each.worths[0], each.worths
        ahead = first.best_arm.ahead
        lines.append(
            f"| {each.name} | {first.questions}, {first.groups} | {each.learner} | "
            f"{spread([worth.accuracy for worth in worths], '{:.1%}'.format)} | "
            f"{first.best_arm.accuracy:.1%} ({first.best_arm.name}) | "
            f"{100 * ahead.value:+.1f} ({100 * ahead.low:+.1f} to {100 * ahead.high:+.1f}) | "
            f"{spread([worth.gain_at_best or 0.0 for worth in worths], '{:+.1%}'.format)} | "
            f"{spread([worth.gap_at_oracle or 0.0 for worth in worths], '{:.1%}'.format)} | "
            f"{spread([worth.cost_save.value for worth in worths], '{:+.1%}'.format)} | "
            f"{sum(worth.is_enabled for worth in worths)} of {len(worths)} |"
        )
    lines += ["", "| comparison | a random mix of the same cost | best arm by kind | oracle |", "|---|---|---|---|"]
    for each in found:
        by_name = {way.name: way for way in each.worths[0].others}
        mix, by_kind = by_name["random mix of the same cost"], by_name["best arm by kind"]
        lines.append(
            f"| {each.name} | {mix.accuracy:.1%} | {by_kind.accuracy:.1%} | {each.worths[0].oracle.accuracy:.1%} |"
        )
    lines += ["", f"| comparison | embed, ms p50 | choose, ms p50 | together, of {GOAL_MS:g} ms |", "|---|---|---|---|"]
    for each in found:
        lines.append(
            f"| {each.name} | {median(each.embed_ms):.2f} | {median(each.choose_ms):.2f} | "
            f"{median(each.own_ms) / GOAL_MS:.2f} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
