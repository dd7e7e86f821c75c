"""A policy as a folder: `policy.json` says what it is, `policy.safetensors` holds its numbers, `questions.safetensors`
the questions that drift is measured by, where it has any. Nothing in it is code.

In: a policy as it was trained. Out: the folder, or the policy that a folder holds. It knows no registry.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import Field, ValidationError
from safetensors import SafetensorError
from safetensors.numpy import load_file, save

from plait.errors import InvalidInput, first_line
from plait.routing.drift import WORD_DIMENSIONS, SeenQuestions
from plait.routing.estimators.estimator import named
from plait.routing.policy import POLICIES, Arrays, Policy, PolicyConfig
from plait.routing.worth import PolicyWorth
from plait.section import Section
from plait.strict_json import read_json
from plait.validation import first_problem
from plait.whole_files import write_whole

POLICY_FILE, ARRAYS_FILE, QUESTIONS_FILE = "policy.json", "policy.safetensors", "questions.safetensors"
_MAX_BYTES = 4 << 20
"""Of policy.json: a thousand words take some ten kilobytes, a thousand rules a hundred."""


class PolicyAbout(Section):
    """Lineage of a policy: what it was learned from, and how it was judged."""

    comparison: str = Field(description="The command that made the comparison.")
    comparison_sha256: str = Field(description="Hash of the comparison's file.")
    learner: str = Field(description="What was chosen of all that were tried; empty: nothing was learned.")
    left_out: tuple[str, ...] = Field((), description="Arms and questions that were not learned from, and why.")
    seed: int
    worth: PolicyWorth | None = Field(description="Of the learned policy, used or not; null: nothing was learned.")
    reason: str = Field(description="Why the policy is what it is.")
    plait_version: str
    created_at: str = Field(description="ISO 8601, UTC.")


class PolicyFile(Section):
    """policy.json."""

    policy: Annotated[PolicyConfig, POLICIES]
    about: PolicyAbout


@dataclass(frozen=True)
class SavedPolicy:
    """What a folder holds. `seen`: the questions that the policy was learned from; None: they are not kept."""

    config: PolicyConfig
    about: PolicyAbout
    policy: Policy
    seen: SeenQuestions | None = None


def write_policy(
    folder: Path, config: PolicyConfig, arrays: Arrays, about: PolicyAbout, seen: SeenQuestions | None = None
) -> None:
    """Write its files into a folder that is there.

    Raises:
        InsufficientStorage: when the disk is full.
    """
    write_whole(folder / ARRAYS_FILE, save(dict(arrays)))
    if seen is not None:
        write_whole(folder / QUESTIONS_FILE, save({"vectors": seen.vectors, "distances": seen.distances}))
    # The field is of the base class, which has no fields of the kinds.
    policy = config.model_dump(mode="json")
    about_json = about.model_dump(mode="json")
    write_whole(folder / POLICY_FILE, json.dumps({"policy": policy, "about": about_json}, ensure_ascii=False, indent=1))


def read_policy(folder: Path) -> SavedPolicy:
    """The policy that a folder holds.

    Raises:
        InvalidInput: when it holds none, or one that does not fit together.
    """
    try:
        values = read_json(folder / POLICY_FILE, _MAX_BYTES)
        arrays = load_file(folder / ARRAYS_FILE)
    except (OSError, SafetensorError) as error:
        raise InvalidInput(f"'{folder}' holds no policy of Plait ({first_line(error)}).") from None
    try:
        file = PolicyFile.model_validate(values)
        policy = file.policy.open(arrays)
        return SavedPolicy(file.policy, file.about, policy, _seen(folder, policy))
    except ValidationError as error:
        raise InvalidInput(f"'{folder / POLICY_FILE}' is no policy. {first_problem(error, values)}") from None
    except ValueError as error:
        raise InvalidInput(f"'{folder}' holds no policy of Plait ({first_line(error)}).") from None


def _seen(folder: Path, policy: Policy) -> SeenQuestions | None:
    """The questions that are kept; by what they are compared is what the policy tells questions apart by.

    Raises:
        ValueError: one line, when they cannot be those of this policy.
    """
    if not (folder / QUESTIONS_FILE).is_file():
        return None
    try:
        arrays = load_file(folder / QUESTIONS_FILE)
    except SafetensorError as error:
        raise ValueError(first_line(error)) from None
    dimension = WORD_DIMENSIONS if policy.vectors is None else policy.vectors.dimension
    found = named(arrays, {"vectors": (-1, dimension), "distances": (-1,)})
    if not len(found["vectors"]) or not len(found["distances"]):
        raise ValueError("the questions that it was learned from are none")
    return SeenQuestions(found["vectors"], found["distances"], are_words=policy.vectors is None)
