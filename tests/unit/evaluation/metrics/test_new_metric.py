"""A metric from outside the library is one file and one registration."""

from collections.abc import Iterator

import pytest
from verbatim_judge import VerbatimJudge

from plait.evaluation.metrics import metric as metrics
from plait.evaluation.sample import Sample


@pytest.fixture(autouse=True)
def brevity() -> Iterator[None]:
    """Other tests go over all metrics that there are."""
    import brevity_metric

    yield
    del metrics._BUILDERS["brevity"]
    del brevity_metric


async def test_it_is_found_by_its_name_and_scores() -> None:
    brevity = metrics.metric("brevity", metrics.Instruments(VerbatimJudge()))
    assert "brevity" in metrics.metric_names()
    assert (await brevity.score(Sample("Which?", "It is 2.60.0.", answers=("2.60.0",)))).value == pytest.approx(1 / 3)
    assert (await brevity.score(Sample("Which?", "2.60.0", answers=("2.60.0",)))).value == 1
    assert (await brevity.score(Sample("Which?", "", answers=("2.60.0",)))).value is None
