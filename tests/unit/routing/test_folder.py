"""A policy's folder: what is read is what was written, and a broken one is said in a sentence."""

import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_outcomes import ARMS, VECTORS, made_outcomes
from safetensors.numpy import save_file

from plait.errors import InvalidInput
from plait.routing.drift import seen_questions
from plait.routing.folder import (
    ARRAYS_FILE,
    POLICY_FILE,
    QUESTIONS_FILE,
    PolicyAbout,
    read_policy,
    write_policy,
)
from plait.routing.policies.fixed import FixedConfig
from plait.routing.trained import TrainedPolicy, train


@pytest.fixture(scope="module")
def trained() -> TrainedPolicy:
    return train(made_outcomes(has_vectors=True), 2.0, VECTORS, seed=0)


@pytest.fixture
def folder(tmp_path: Path, trained: TrainedPolicy) -> Path:
    about = PolicyAbout(
        comparison="plait compare compare.yaml",
        comparison_sha256="0",
        learner=trained.learner,
        seed=0,
        worth=trained.worth,
        reason=trained.reason,
        plait_version="0",
        created_at="2026-01-01T00:00:00+00:00",
    )
    write_policy(tmp_path, trained.config, trained.arrays, about)
    return tmp_path


def test_what_is_read_is_what_was_written(folder: Path, trained: TrainedPolicy) -> None:
    saved = read_policy(folder)
    assert saved.config == trained.config
    assert saved.about.worth == trained.worth
    assert {file.name for file in folder.iterdir()} == {POLICY_FILE, ARRAYS_FILE}


@pytest.mark.parametrize("by_embedding", [True, False])
def test_the_questions_that_it_was_learned_from_are_kept_for_drift(
    tmp_path: Path, folder: Path, trained: TrainedPolicy, by_embedding: bool
) -> None:
    about = read_policy(folder).about
    config = trained.config if by_embedding else FixedConfig(arm=ARMS[0])
    kept = seen_questions(made_outcomes(has_vectors=True), by_embedding, seed=0)
    write_policy(tmp_path, config, trained.arrays if by_embedding else {}, about, kept)
    read = read_policy(tmp_path).seen
    assert kept is not None
    assert read is not None
    assert read.are_words is not by_embedding
    assert np.array_equal(read.vectors, kept.vectors)
    assert np.array_equal(read.distances, kept.distances)
    save_file({"vectors": np.zeros((3, 7), np.float32), "distances": kept.distances}, tmp_path / QUESTIONS_FILE)
    with pytest.raises(InvalidInput, match="the array vectors is not finite float32"):
        read_policy(tmp_path)


def _changed(**fields: Any) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        values = json.loads((folder / POLICY_FILE).read_text())
        values["policy"] |= fields
        (folder / POLICY_FILE).write_text(json.dumps(values))

    return change


class _Payload:
    def __reduce__(self) -> tuple[Any, ...]:
        return pytest.fail, ("a pickle was loaded",)


@pytest.mark.parametrize(
    "damage",
    [
        lambda folder: (folder / POLICY_FILE).unlink(),
        lambda folder: (folder / ARRAYS_FILE).unlink(),
        lambda folder: (folder / POLICY_FILE).write_text("{"),
        lambda folder: (folder / POLICY_FILE).write_text("[" * 100_000),
        lambda folder: (folder / POLICY_FILE).write_bytes(b" " * (5 << 20)),
        lambda folder: (folder / ARRAYS_FILE).write_bytes(pickle.dumps(_Payload())),
        lambda folder: (folder / ARRAYS_FILE).write_bytes(b"\xff" * 100),
        _changed(kind="magic"),
        _changed(estimator="magic"),
        _changed(points=-1),
        _changed(arms=[]),
        _changed(arms=[{"model": "base", "name": "base", "tokens": 1.0}] * 3),
        _changed(arms=[{"model": "base", "name": "base"}] * 2),
        _changed(arms=[{"model": "auto", "name": "auto", "tokens": 1.0}] * 2),
        _changed(vectors={"model": "made", "dimension": 5}),
        _changed(words=["more"]),
        _changed(run="code"),
    ],
)
def test_a_broken_folder_is_said_in_a_sentence(folder: Path, damage: Callable[[Path], Any]) -> None:
    damage(folder)
    with pytest.raises(InvalidInput) as raised:
        read_policy(folder)
    assert str(folder) in str(raised.value)


def test_numbers_are_those_that_were_learned(folder: Path, trained: TrainedPolicy) -> None:
    assert trained.arrays
    policy: Any = read_policy(folder).policy
    for name, array in trained.arrays.items():
        np.testing.assert_array_equal(policy.estimator.arrays[name], array)
