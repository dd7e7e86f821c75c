"""The recipe of `plait data make-questions`: documents to questions that an eval set and a training set are made of."""

from string import Formatter
from typing import Annotated, Any, Self

from pydantic import AfterValidator, Field, model_validator

from plait.recipes.endpoint import ModelEndpoint
from plait.recipes.ingest import IngestRecipe
from plait.section import Section

_PLACES = ("attribute", "entity", "subject", "value", "verb")


def _has_known_places(template: str) -> str:
    try:
        places = {name for _, name, _, _ in Formatter().parse(template) if name is not None}
    except ValueError as error:
        raise ValueError(f"is no template ({error})") from None
    unknown = sorted(places - {*_PLACES})
    if unknown:
        raise ValueError(f"has {{{unknown[0]}}}, and may have {', '.join(f'{{{name}}}' for name in _PLACES)}")
    return template


Template = Annotated[str, Field(min_length=1), AfterValidator(_has_known_places)]


class QuestionTemplates(Section):
    """How facts of one attribute are asked about. `{subject}` is `the ATTRIBUTE of ENTITY`, `{verb}` is `is` or `are`.

    A template of a question may not have `{value}`, which is its answer.
    """

    evaluate: list[Template] = Field(min_length=1, description="Questions of the eval set; one is drawn for a fact.")
    train: list[Template] = Field(
        [], description="Questions of the training data, in other words; none: facts of this attribute are held out."
    )
    reply: Template = Field("{subject} {verb} {value}.", description="What is learned as the answer.")

    @model_validator(mode="after")
    def questions_keep_their_answer(self) -> Self:
        if any("{value}" in template for template in (*self.evaluate, *self.train)):
            raise ValueError("a question has {value}, which is its answer")
        if "{value}" not in self.reply:
            raise ValueError("the reply needs {value}")
        if set(self.evaluate) & set(self.train):
            raise ValueError("a question of the eval set is one of the training data, too")
        return self


class GroupShares(Section):
    """Shares of the eval set by group, in proportion to each other."""

    learned: float = Field(0.25, ge=0, description="Facts of the training data, asked in other words.")
    held_out: float = Field(0.25, ge=0, description="Facts of the documents that are not in the training data.")
    changed: float = Field(0.15, ge=0, description="Facts that change after training, in edited copies of documents.")
    unanswerable: float = Field(0.15, ge=0, description="Questions that the documents do not answer.")
    multi_hop: float = Field(0.1, ge=0, description="Questions that take two documents.")
    form: float = Field(0.1, ge=0, description="Held-out facts, whose replies count by their form; not with a writer.")

    @model_validator(mode="after")
    def something_is_asked(self) -> Self:
        if not sum(self.model_dump().values()):
            raise ValueError("all shares are 0")
        return self


class QuestionsRecipe(Section):
    """Documents to questions."""

    ingest: IngestRecipe = Field(description="The documents and how they are cut, as a recipe of plait ingest.")
    writer: ModelEndpoint | None = Field(
        None, description="Model that finds facts and writes questions; unset: templates over structured facts."
    )
    templates: dict[str, QuestionTemplates] = Field(
        {}, description="Without a writer: templates by attribute ('*': any other); unset: English ones for all."
    )
    count: int = Field(200, ge=1, description="Questions of the eval set, at most.")
    shares: GroupShares = GroupShares()
    taught: int | None = Field(
        None,
        ge=1,
        description="Facts of the training data, changed ones among them, at most; unset: by the shares.",
    )
    phrasings: int = Field(4, ge=1, description="Training questions of a learned fact, at most.")
    passages: int = Field(400, ge=1, description="With a writer: write from so many passages, drawn at random.")
    facts_a_passage: int = Field(2, ge=1, le=8, description="With a writer: facts of a passage, at most.")
    top_k: int = Field(5, ge=1, description="A passage must be among the first so many that its question finds.")
    seed: int = Field(0, ge=0, description="Of everything that is drawn.")
    concurrency: int = Field(8, ge=1, description="Requests under way at once.")

    @model_validator(mode="before")
    @classmethod
    def templates_go_without_a_writer(cls, values: Any) -> Any:
        if isinstance(values, dict) and values.get("writer") and values.get("templates"):
            raise ValueError("writer and templates exclude each other: a model writes in its own words")
        return values

    @model_validator(mode="after")
    def a_writer_has_something_to_ask(self) -> Self:
        if self.writer and not sum(self.shares.model_dump(exclude={"form"}).values()):
            raise ValueError("replies that a writer words have no form in common: give another group than form a share")
        return self
