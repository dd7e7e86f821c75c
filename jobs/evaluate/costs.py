"""What answers take: time, tokens, and money where a recipe has prices.

In: trials and prices. Out: trials with their cost, and means of an arm. It does not know what an answer is worth.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from statistics import fmean, median

from plait.errors import InvalidInput, did_you_mean
from plait.evaluation.runs.run import Run
from plait.evaluation.runs.trial import Trial
from plait.recipes.prices import ALL_ARMS, TokenPrice


@dataclass(frozen=True)
class ArmCosts:
    """What an answer of an arm takes; None: nobody said.

    Attributes:
        latency_ms: the median, from request to last token.
        prompt_tokens, completion_tokens: means of those that are read and written.
        cost: the mean, at the prices of the run.
        errors: questions that were not answered.
    """

    arm: str
    latency_ms: float | None
    prompt_tokens: float | None
    completion_tokens: float | None
    cost: float | None
    errors: int

    @property
    def is_known(self) -> bool:
        """Whether anything is known, as it is not of samples from elsewhere."""
        return bool(self.errors) or (self.latency_ms, self.prompt_tokens, self.completion_tokens) != (None, None, None)

    @property
    def cost_of_1000(self) -> float | None:
        """Of 1,000 answers."""
        return None if self.cost is None else 1000 * self.cost


def check_prices(prices: Mapping[str, TokenPrice], arms: Sequence[str]) -> None:
    """Find out before anything is asked that a price is of nobody.

    Raises:
        InvalidInput: for a price of an arm that there is not.
    """
    for name in prices:
        if name != ALL_ARMS and name not in arms:
            raise InvalidInput(f"There is a price of '{name}', and no such arm.", did_you_mean(name, [*arms, ALL_ARMS]))


def with_costs(run: Run, trials: Sequence[Trial], prices: Mapping[str, TokenPrice]) -> list[Trial]:
    """Trials with what their tokens cost at the prices, which the run keeps; also those that were asked before."""
    priced = [replace(trial, cost=_cost(trial, prices)) for trial in trials]
    for before, trial in zip(trials, priced, strict=True):
        if trial.cost != before.cost:
            run.add_trial(trial)
    return priced


def costs_of(arm: str, trials: Sequence[Trial]) -> ArmCosts:
    """What an answer of an arm takes, of all its trials."""
    times = [trial.timings_ms["total"] for trial in trials if "total" in trial.timings_ms]
    return ArmCosts(
        arm=arm,
        latency_ms=median(times) if times else None,
        prompt_tokens=_mean([trial.prompt_tokens for trial in trials]),
        completion_tokens=_mean([trial.completion_tokens for trial in trials]),
        cost=_mean([trial.cost for trial in trials]),
        errors=sum(bool(trial.error) for trial in trials),
    )


def as_money(amount: float) -> str:
    """An amount of no currency, as in 1,250.00 or 0.0137."""
    return f"{amount:,.2f}" if amount >= 1 else f"{Decimal(f'{amount:.3g}'):f}"


def _cost(trial: Trial, prices: Mapping[str, TokenPrice]) -> float | None:
    price = prices.get(trial.arm, prices.get(ALL_ARMS))
    if price is None or trial.prompt_tokens is None or trial.completion_tokens is None:
        return None
    return price.cost(trial.prompt_tokens, trial.completion_tokens)


def _mean(numbers: Sequence[float | None]) -> float | None:
    known = [number for number in numbers if number is not None]
    return fmean(known) if known else None
