"""The outcomes of a comparison, for policies to be learned from: compare.json to `Outcomes`.

In: the folder of a comparison. Out: questions that all arms were asked, and how right and how dear their answers were;
what is left out, and why. Of several trainings of an arm it takes the first, whose version is served. It reads what
`plait.jobs.compare.report` writes, and judges nothing anew.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from plait.errors import InvalidInput, first_line
from plait.jobs.compare.accuracy import accuracy_metric
from plait.jobs.compare.arms import ArmKind
from plait.jobs.compare.report import REPORT
from plait.recipes import EmbeddingConfig
from plait.routing.outcomes import Outcomes
from plait.routing.policy import RoutedArm
from plait.strict_json import parse_json
from plait.validation import first_problem

_MAX_BYTES = 1 << 30


class _Read(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class _Arm(_Read):
    name: str
    kind: ArmKind
    trained: str
    retrieves: bool
    is_updated: bool
    runs: tuple[str, ...]


class _Training(_Read):
    arm: str
    seed: int
    is_updated: bool
    key: str


class _Score(_Read):
    value: float | None


class _Trial(_Read):
    arm: str
    number: int
    question: str
    kind: str
    group: str
    unanswerable: bool | None
    error: str
    scores: Mapping[str, _Score]
    prompt_tokens: int | None
    completion_tokens: int | None

    def quality(self, metric: str) -> float | None:
        """How right it is; 0 where there is no answer, None where nobody can say."""
        if self.error:
            return 0.0
        score = self.scores.get(accuracy_metric(self.scores, bool(self.unanswerable), metric))
        return None if score is None else score.value

    @property
    def tokens(self) -> float:
        if self.prompt_tokens is None or self.completion_tokens is None:
            return np.nan
        return self.prompt_tokens + self.completion_tokens


class _Evaluation(_Read):
    trials: tuple[_Trial, ...]


class _Ingest(_Read):
    embedding: EmbeddingConfig


class _Recipe(_Read):
    accuracy: str
    ingest: _Ingest


class _Comparison(_Read):
    recipe: _Recipe
    arms: tuple[_Arm, ...]
    trainings: tuple[_Training, ...]
    evaluation: _Evaluation
    command: str


@dataclass(frozen=True)
class ComparisonOutcomes:
    """What a comparison's folder has for policies.

    Attributes:
        embedding: of the comparison's index.
        left_out: arms and questions that are not among the outcomes, a sentence each.
        command: that made the comparison.
        sha256: of its file.
    """

    outcomes: Outcomes
    embedding: EmbeddingConfig
    left_out: Sequence[str]
    command: str
    sha256: str


def read_outcomes(folder: Path) -> ComparisonOutcomes:
    """Read the outcomes of a comparison.

    Raises:
        InvalidInput: when the folder holds none, no arm of it has a model id, or its server counted no tokens.
    """
    data = _bytes(folder)
    comparison = _parsed(folder, data)
    models, left_out = _models(comparison)
    trials = {
        name: {trial.number: trial for trial in comparison.evaluation.trials if trial.arm == run}
        for name, (_, run) in models.items()
    }
    asked = set.union(*(set(of_arm) for of_arm in trials.values())) if trials else set()
    for name in [name for name, of_arm in trials.items() if len(of_arm) < len(asked)]:
        left_out.append(f"{name} is left out: it was not asked every question.")
        del models[name], trials[name]
    if not trials or not asked:
        raise InvalidInput(f"The comparison in '{folder}' has no arm that a policy could choose. {' '.join(left_out)}")
    metric = comparison.recipe.accuracy
    quality = {number: [trials[name][number].quality(metric) for name in models] for number in sorted(asked)}
    said = [number for number, values in quality.items() if None not in values]
    if not said:
        raise InvalidInput(f"The comparison in '{folder}' has no question that all arms have a score of.")
    unsaid = len(quality) - len(said)
    if unsaid:
        left_out.append(
            f"{unsaid} of {len(quality)} questions are left out: whether an answer is right cannot be said."
        )
    first = next(iter(trials.values()))
    outcomes = Outcomes(
        arms=[RoutedArm(model=model, name=name) for name, (model, _) in models.items()],
        questions=[first[number].question for number in said],
        quality=np.array([quality[number] for number in said], dtype=np.float64),
        tokens=np.stack(
            [_tokens(name, [of_arm[number] for number in said]) for name, of_arm in trials.items()], axis=1
        ),
        kinds=[first[number].kind for number in said],
        groups=[first[number].group for number in said],
    )
    embedding = comparison.recipe.ingest.embedding
    return ComparisonOutcomes(outcomes, embedding, left_out, comparison.command, sha256(data).hexdigest())


def _bytes(folder: Path) -> bytes:
    file = folder / REPORT
    try:
        with file.open("rb") as opened:
            data = opened.read(_MAX_BYTES + 1)
    except OSError as error:
        raise InvalidInput(
            f"'{folder}' is no folder of a comparison ({REPORT}: {first_line(error)}).",
            "Name the folder that plait compare wrote, as in ~/.plait/comparisons/support.",
        ) from None
    if len(data) > _MAX_BYTES:
        raise InvalidInput(f"'{file}' has more than the {_MAX_BYTES:,} bytes that such a file may have.")
    return data


def _parsed(folder: Path, data: bytes) -> _Comparison:
    try:
        values = parse_json(data)
    except ValueError as error:
        raise InvalidInput(f"'{folder / REPORT}' is no valid JSON ({error}).") from None
    try:
        return _Comparison.model_validate(values)
    except ValidationError as error:
        raise InvalidInput(
            f"'{folder / REPORT}' is no comparison that can be read. {first_problem(error, values)}",
            "Make it again with plait compare.",
        ) from None


def _models(comparison: _Comparison) -> tuple[dict[str, tuple[str, str]], list[str]]:
    """By arm, the model id that a server answers as it by, and its first run; sentences about arms that have none."""
    keys = {(each.arm, each.is_updated): each.key for each in comparison.trainings if each.seed == 0}
    found: dict[str, tuple[str, str]] = {}
    left_out = []
    for arm in comparison.arms:
        model = keys.get((arm.trained, arm.is_updated)) if arm.trained else "base"
        if arm.kind in ("base", "adapter") and model is not None:
            found[arm.name] = f"rag/{model}" if arm.retrieves else model, arm.runs[0]
        else:
            left_out.append(f"{arm.name} is left out: no model id of a server answers as it.")
    return found, left_out


def _tokens(name: str, trials: Sequence[_Trial]) -> "np.ndarray[tuple[int], np.dtype[np.float64]]":
    """Of each answer; the mean where there is no answer."""
    counted = np.array([trial.tokens for trial in trials], dtype=np.float64)
    if np.isnan(counted).all():
        raise InvalidInput(f"Nobody counted the tokens of {name}: what its answers cost is not known.")
    return np.where(np.isnan(counted), np.nanmean(counted), counted)
