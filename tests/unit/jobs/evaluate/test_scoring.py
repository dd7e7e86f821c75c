"""Scoring: what applies is scored once, what fails is submitted, and nothing is lost to a failure."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from plait.errors import InsufficientStorage, Unavailable
from plait.evaluation.metrics import metric as metrics
from plait.evaluation.metrics.metric import Need
from plait.evaluation.runs.run import Run
from plait.evaluation.runs.trial import Trial
from plait.evaluation.sample import Sample
from plait.evaluation.score import Score
from plait.jobs.evaluate import keeping
from plait.jobs.evaluate.keeping import in_turn, kept
from plait.jobs.evaluate.scoring import DEFAULT_METRICS, score_missing
from plait.recipes import JudgeEndpoint, SamplesRecipe

RECIPE = SamplesRecipe(samples="x", metrics=["length", "contains"])
TRIALS = [
    Trial("a", "1", "arm", 0, (), Sample("q", "yes", answers=("yes",))),
    Trial("b", "2", "arm", 1, (), Sample("q", "no")),
    Trial("c", "3", "arm", 2, (), Sample("q", "", answers=("yes",)), error="It is too long."),
]


@dataclass
class Length:
    """1 for a reply of three characters; it fails at the word in `fails_at`."""

    name: str = "length"
    needs: frozenset[Need] = frozenset()
    fails_at: str = ""
    scored: list[str] = field(default_factory=list)

    async def score(self, sample: Sample) -> Score:
        if sample.reply == self.fails_at:
            raise Unavailable("The judge does not answer.")
        self.scored.append(sample.reply)
        return Score(float(len(sample.reply) == 3))


@pytest.fixture
def length() -> Iterator[Length]:
    made = Length()
    metrics.register("length", lambda instruments: made)
    yield made
    del metrics._BUILDERS["length"]


async def test_each_metric_scores_what_has_what_it_needs(tmp_path: Path, length: Length) -> None:
    found = await score_missing(Run(tmp_path), TRIALS, RECIPE, at_once=2)
    values = {key: {name: score.value for name, score in scores.items()} for key, scores in found.by_trial.items()}
    assert values == {
        "a": {"length": 1, "contains": 1},
        "b": {"length": 0},
        "c": {"length": None, "contains": None},
    }
    assert found.by_trial["c"]["contains"].reason == "It was not answered: It is too long."
    assert (found.judge, found.inapplicable) == ("lexical", {})
    nothing = await score_missing(Run(tmp_path), TRIALS[1:2], RECIPE, at_once=2)
    assert nothing.inapplicable == {"contains": ["answers"]}


async def test_what_is_scored_is_not_scored_again_after_a_failure(tmp_path: Path, length: Length) -> None:
    length.fails_at = "no"
    with pytest.raises(Unavailable, match="does not answer"):
        await score_missing(Run(tmp_path), TRIALS, RECIPE, at_once=1)
    length.fails_at = ""
    found = await score_missing(Run(tmp_path), TRIALS, RECIPE, at_once=1)
    assert length.scored == ["yes", "no"]
    assert found.by_trial["a"]["length"].value == 1
    changed = [replace(TRIALS[0], key="a2")]
    await score_missing(Run(tmp_path), changed, RECIPE, at_once=1)
    assert length.scored[2:] == ["yes"]


@pytest.mark.parametrize(
    "other", [{"embedding": "another-model"}, {"judge": JudgeEndpoint(model="lexical", base_url="http://127.0.0.1:1")}]
)
async def test_a_score_by_other_instruments_is_not_taken_for_one_by_these(
    tmp_path: Path, length: Length, other: dict[str, Any]
) -> None:
    await score_missing(Run(tmp_path), TRIALS[:1], RECIPE, at_once=1)
    changed = RECIPE.model_copy(update=other)
    for _ in range(2):
        found = await score_missing(Run(tmp_path), TRIALS[:1], changed, at_once=1)
        assert found.by_trial["a"]["length"].value == 1
    assert length.scored == ["yes", "yes"]


def test_the_metrics_that_nobody_names_are_there() -> None:
    assert set(DEFAULT_METRICS) <= set(metrics.metric_names())


async def test_so_many_are_under_way_and_the_first_failure_ends_all() -> None:
    under_way, most, done = 0, 0, []

    async def work(item: int) -> None:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await asyncio.sleep(0)
        under_way -= 1
        if item == 6:
            raise ValueError("six")
        done.append(item)

    await in_turn(work, range(5), at_once=2)
    assert (most, done) == (2, [0, 1, 2, 3, 4])
    with pytest.raises(ValueError, match="six"):
        await in_turn(work, range(5, 1000), at_once=2)
    assert len(done) < 10


async def test_a_disk_that_is_full_ends_the_work_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeping, "_EVERY_S", 0.001)
    run = Run(tmp_path)

    def full() -> None:
        raise InsufficientStorage("The disk is full.")

    monkeypatch.setattr(run, "flush", full)
    with pytest.raises(InsufficientStorage):
        async with kept(run):
            await asyncio.sleep(60)
