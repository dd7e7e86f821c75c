"""The recipe of `plait compare`: fine-tune, retrieve, or both?"""

import re
from typing import Any, Self

from pydantic import Field, field_validator, model_validator

from plait.recipes.endpoint import ModelEndpoint
from plait.recipes.evaluate import EvalSetConfig
from plait.recipes.ingest import IngestRecipe
from plait.recipes.judging import JudgingConfig
from plait.recipes.loading import ready_values
from plait.recipes.prices import ALL_ARMS, TokenPrice
from plait.recipes.train import DEFAULT_MODEL, TrainRecipe
from plait.section import Section

_ARM_NAME = r"^[a-z][a-z0-9-]{0,40}$"
_TAKEN = ("base", "icl", "rag", "auto", ALL_ARMS)
_SET_BY_ITSELF = {"llm": "model", "retrieval": "collection"}
"""Of the served application: what follows from the recipe, section and field."""


class NearestExamples(Section):
    """In-context learning: the examples whose questions are nearest stand before the question (Liu et al. 2022,
    arXiv:2101.06804). What a tuned model must beat, since it costs no training."""

    examples: str = Field(description="Examples, read like data.train of a training recipe.")
    top_k: int = Field(4, ge=1, le=32, description="Examples a prompt.")


class ChangedDocuments(Section):
    """What changed after training, for questions of the kind `changed`."""

    documents: str = Field(description="Folder with the documents as they are now, under the names that they had.")
    train: str | None = Field(
        None, description="Examples of what changed: adapters are trained further on them, and asked again."
    )
    arms: list[str] | None = Field(
        None, min_length=1, description="With train: tuned arms that are trained further; unset: all adapters."
    )

    @model_validator(mode="after")
    def arms_have_examples(self) -> Self:
        if self.arms is not None and self.train is None:
            raise ValueError("changed.arms needs changed.train, on which they are trained")
        return self


class EndpointArm(ModelEndpoint):
    """A larger or another model, to compare with."""

    base_url: str = Field(pattern=r"^https?://[^\s/]+\S*$", description="Of the API, as in https://host/v1.")
    price: TokenPrice | None = Field(None, description="Of its tokens.")


class CompareRecipe(EvalSetConfig, JudgingConfig):
    """Documents, examples and questions to a verdict: which way to answer is best, for which kind of question."""

    name: str = Field(pattern=_ARM_NAME, description="What the adapters are named after: NAME-ARM.")
    model: str = Field(DEFAULT_MODEL, description="Base model of all arms: hub id, folder or package:NAME.")
    ingest: IngestRecipe = Field(description="Documents to the index that is retrieved from.")
    tuned: dict[str, TrainRecipe] = Field(
        {},
        description="Arms that are trained, by name: fields of a training recipe; `recipe: lora` begins with that one.",
    )
    icl: NearestExamples | None = Field(None, description="The base model with examples in its prompt; unset: no arm.")
    endpoints: dict[str, EndpointArm] = Field({}, description="Models behind endpoints, by the name of their arm.")
    changed: ChangedDocuments | None = Field(None, description="What changed after training; unset: nothing did.")
    seeds: int = Field(1, ge=1, le=10, description="Trainings of each tuned arm, with as many seeds.")
    accuracy: str = Field("contains", description="The metric that says whether an answer is right.")
    serve: dict[str, Any] = Field(
        {}, description="Args of the served application, as in retrieval: {top_k: 2}; the index is set by itself."
    )
    hour_price: float = Field(0.0, ge=0, description="Of an hour of the machine that trains and indexes; 0: free.")
    significance: float = Field(
        0.05,
        gt=0,
        lt=1,
        description="Chance of calling any two equal arms different at a kind of question (Holm, over its pairs).",
    )

    @model_validator(mode="before")
    @classmethod
    def arms_begin_with_ready_recipes(cls, values: Any) -> Any:
        """A tuned arm's `recipe` is filled in; its name, base model and index are set."""
        tuned = values.get("tuned") if isinstance(values, dict) else None
        if not isinstance(tuned, dict) or not all(isinstance(arm, dict) for arm in tuned.values()):
            return values
        cls.arms_have_names_of_their_own(tuned)
        if not re.fullmatch(_ARM_NAME, str(values.get("name"))):
            return values  # the field says what is wrong, and not the name of an adapter that is made of it
        ingest = values.get("ingest")
        collection = ingest.get("collection") if isinstance(ingest, dict) else None
        usual = {"model": {"source": values.get("model", DEFAULT_MODEL)}}
        context = {"data": {"context": {"collection": collection}}} if collection is not None else {}
        return values | {
            "tuned": {
                arm: _filled(given, usual, context) | {"name": f"{values.get('name')}-{arm}"}
                for arm, given in tuned.items()
            }
        }

    @field_validator("tuned", "endpoints")
    @classmethod
    def arms_have_names_of_their_own(cls, arms: dict[str, Any]) -> dict[str, Any]:
        for name in arms:
            if name in _TAKEN:
                raise ValueError(f"an arm cannot be called {name}: the name has a meaning already")
            if not re.fullmatch(_ARM_NAME, name):
                raise ValueError(f"'{name}' is no name of an arm: small letters, digits and hyphens, a letter first")
        return arms

    @model_validator(mode="after")
    def parts_fit_together(self) -> Self:
        both = sorted(self.tuned.keys() & self.endpoints.keys())
        if both:
            raise ValueError(f"tuned and endpoints both have an arm {both[0]}")
        for name, training in self.tuned.items():
            if training.promote is not None:
                raise ValueError(f"tuned.{name}.promote: a comparison promotes nothing; leave it out")
            if training.model.source != self.model:
                raise ValueError(f"tuned.{name}.model.source is not model: arms are compared on one base model")
            if name in self.updated and training.objective.kind != "sft":
                raise ValueError(
                    f"changed.train holds examples, and tuned.{name} with objective.kind={training.objective.kind} "
                    "learns from none"
                )
        for name in (self.changed.arms or []) if self.changed is not None else []:
            if name not in self.updated:
                what = "is trained whole, and not further" if name in self.tuned else "is no arm of tuned"
                raise ValueError(f"changed.arms has {name}, which {what}")
        if self.changed is not None and self.changed.train is not None and not self.updated:
            raise ValueError("changed.train needs an adapter among the tuned arms, which is trained further on it")
        for section, field in _SET_BY_ITSELF.items():
            values = self.serve.get(section)
            if isinstance(values, dict) and field in values:
                raise ValueError(f"serve.{section}.{field} is set by itself: leave it out")
        if self.seeds > 1 and not self.tuned:
            raise ValueError("seeds needs an arm that is trained")
        return self

    @property
    def updated(self) -> list[str]:
        """The tuned arms that are trained further on what changed."""
        if self.changed is None or self.changed.train is None:
            return []
        adapters = [name for name, training in self.tuned.items() if not training.adapter.trains_base]
        return [name for name in adapters if self.changed.arms is None or name in self.changed.arms]


def _filled(given: dict[str, Any], usual: dict[str, Any], context: dict[str, Any]) -> dict[str, Any]:
    """A training recipe: what is given, over the ready recipe that `recipe` names, over what is usual here."""
    ready = given.get("recipe")
    if not isinstance(ready, str | None):
        raise ValueError(f"the recipe of a tuned arm is the name of a ready one, as lora, and not {ready!r}")
    own = {field: value for field, value in given.items() if field != "recipe"}
    values = _over(_over(ready_values(ready) if isinstance(ready, str) else {}, usual), own)
    data = values.get("data")
    has_context = isinstance(data, dict) and isinstance(data.get("context"), dict)
    return _over(context, values) if has_context else values


def _over(values: dict[str, Any], own: dict[str, Any]) -> dict[str, Any]:
    """Nested mappings, those of `own` over the others."""
    merged = dict(values)
    for field, value in own.items():
        before = merged.get(field)
        merged[field] = _over(before, value) if isinstance(before, dict) and isinstance(value, dict) else value
    return merged
