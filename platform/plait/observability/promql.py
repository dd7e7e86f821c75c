"""PromQL made from the metric definitions, so that no rule and no panel asks for what nothing exports.

In: metrics of `plait.observability.metrics`. Out: pieces of queries. It knows no alert and no dashboard.
"""

import re

from prometheus_client import Counter, Gauge, Histogram

Metric = Counter | Gauge | Histogram

_UNITS_S = {"d": 86_400, "h": 3_600, "m": 60, "s": 1}


def series(metric: Metric, matchers: str = "", part: str = "") -> str:
    """The series of a metric as they are scraped.

    Args:
        matchers: what they must have, as in `outcome="ok"`.
        part: of a histogram: bucket, count or sum.

    Example:
        >>> from plait.observability import metrics
        >>> series(metrics.TTFT, 'adapter="support"', "count")
        'vllm:time_to_first_token_seconds_count{adapter="support"}'
    """
    (described,) = metric.describe()
    suffix = "_total" if isinstance(metric, Counter) else f"_{part}" if part else ""
    return f"{described.name}{suffix}" + (f"{{{matchers}}}" if matchers else "")


def documentation(metric: Metric) -> str:
    """What the metric's definition says of it."""
    (described,) = metric.describe()
    return str(described.documentation)


def rate(counted: str, window: str, by: str) -> str:
    """How many a second, summed but for the labels `by`."""
    return f"sum by ({by}) (rate({counted}[{window}]))"


def quantile(share: float, metric: Histogram, window: str, by: str, matchers: str = "") -> str:
    """An estimate of a histogram's quantile, by labels."""
    buckets = rate(series(metric, matchers, "bucket"), window, f"{by}, le".removeprefix(", "))
    return f"histogram_quantile({share:g}, {buckets})"


def duration(seconds: float) -> str:
    """Seconds as Prometheus writes them.

    Example:
        >>> duration(21600), duration(90), duration(0.25)
        ('6h', '90s', '250ms')
    """
    for unit, size in _UNITS_S.items():
        if seconds >= size and seconds % size == 0:
            return f"{seconds / size:.0f}{unit}"
    return f"{max(1, round(seconds * 1000))}ms"


def seconds_of(text: str) -> int:
    """The other way round, for a number and one unit.

    Example:
        >>> seconds_of("6h")
        21600
    """
    found = re.fullmatch(r"(\d+)([dhms])", text)
    if found is None:
        raise ValueError(f"'{text}' is no duration, as 5m is")
    return int(found[1]) * _UNITS_S[found[2]]
