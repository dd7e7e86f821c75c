"""What metrics count in this process while a test runs."""

from collections.abc import Callable

from prometheus_client import Counter, Histogram


def counting(metric: Counter | Histogram, sample: str = "", /, **labels: str) -> Callable[[], float]:
    """How much is counted from now on, of the samples with these labels; `sample`: of a histogram, `sum` or `count`."""

    def now() -> float:
        (family,) = metric.collect()
        name = f"{family.name}_{sample or 'total'}"
        return sum(s.value for s in family.samples if s.name == name and labels.items() <= s.labels.items())

    before = now()
    return lambda: now() - before
