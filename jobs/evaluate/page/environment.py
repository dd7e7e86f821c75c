"""What pages of figures are rendered in: templates, one style, plots, and numbers as they are written.

In: a package that has templates of its own; those of evaluation stand behind them, so that `style.css` and `plots.html`
are one for all pages. All words are escaped.
"""

import math
from importlib.resources import files

from jinja2 import Environment, FunctionLoader, StrictUndefined

from plait.jobs.evaluate.costs import as_money

_SHARED = "plait.jobs.evaluate.page"


def page_environment(package: str = _SHARED) -> Environment:
    """The environment of a package's templates."""

    def template(name: str) -> str | None:
        found = (files(each) / name for each in (package, _SHARED))
        return next((file.read_text(encoding="utf-8") for file in found if file.is_file()), None)

    environment = Environment(
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
        loader=FunctionLoader(template),
    )
    environment.filters |= {"percent": _percent, "points": _points, "p_value": _p_value, "place": _place}
    environment.filters["money"] = as_money
    return environment


def _percent(share: float | None) -> str:
    return "?" if share is None else f"{share:.0%}"


def _points(difference: float | None) -> str:
    if difference is None:
        return "?"
    points = round(100 * difference)
    return f"{points:+d}".replace("-", "−") if points else "0"


def _p_value(value: float) -> str:
    return "< 0.001" if value < 0.001 else f"{value:.2g}"


def _place(value: float, width: float = 100.0) -> str:
    """A number as a coordinate of a plot.

    Raises:
        ValueError: for one that is none: it would break the plot without a word.
    """
    if not math.isfinite(value):
        raise ValueError(f"{value} has no place in a plot")
    return f"{value * width:.2f}"
