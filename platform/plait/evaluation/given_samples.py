"""Samples that another system answered: a row each, with question, reply and passages.

In: any source that an eval set may be. Out: trials, as if they had been asked here. Column names of Ragas (also before
0.2) and of DeepEval mean what they mean there: `answer` is the reply, `ground_truth` and `reference` what is expected.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from hashlib import sha256
from typing import Any, Self

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, model_validator

from plait.evaluation.citation_marks import marked_citations
from plait.evaluation.eval_set import Passages, Pattern, Question, RowMessage, Sources, Text, Texts, read_rows
from plait.evaluation.runs.trial import Trial
from plait.evaluation.sample import SampleCitation, SamplePassage

_NAMES: Mapping[str, tuple[str, ...]] = {
    "question": ("question", "user_input", "input"),
    "reply": ("reply", "response", "actual_output", "answer"),
    "passages": ("passages", "contexts", "retrieved_contexts", "retrieval_context"),
    "answers": ("answers", "reference", "expected_output", "ground_truth", "ground_truths"),
    "reference_passages": ("reference_passages", "reference_contexts"),
    "sources": ("sources", "source"),
    "arm": ("arm", "model"),
}

_MOST_TOKENS = 1_000_000_000
"""No reply has more, and Parquet's whole numbers do."""


def _called(field: str) -> AliasChoices:
    return AliasChoices(*_NAMES[field])


class RowCitation(BaseModel):
    """Characters `start` to `end` of the reply name the passage with this index, from 0."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    start: int = Field(ge=0)
    end: int = Field(ge=0)
    passage: int = Field(ge=0)


class GivenSample(BaseModel):
    """A row of samples.

    Attributes:
        reply: what was answered, which may be nothing.
        passages: what it was answered from; a row without this field was answered without retrieval.
        citations: besides those that stand in the reply as `[1]`.
        arm: who answered.
        latency_ms: from the request to the last token.
        prompt_tokens, completion_tokens: read and written for the reply.
    """

    model_config = ConfigDict(extra="ignore", frozen=True, validate_by_name=True)

    question: str = Field("", validation_alias=_called("question"))
    messages: tuple[RowMessage, ...] = ()
    reply: str = Field(validation_alias=_called("reply"))
    passages: Passages = Field((), validation_alias=_called("passages"))
    citations: tuple[RowCitation, ...] = ()
    answers: Texts = Field((), validation_alias=_called("answers"))
    sources: Sources = Field((), validation_alias=_called("sources"))
    reference_passages: Passages = Field((), validation_alias=_called("reference_passages"))
    kind: str = ""
    group: str = ""
    unanswerable: bool | None = None
    pattern: Pattern | None = None
    arm: Text = Field("samples", validation_alias=_called("arm"))
    latency_ms: float | None = Field(None, ge=0, allow_inf_nan=False)
    prompt_tokens: int | None = Field(None, ge=0, le=_MOST_TOKENS)
    completion_tokens: int | None = Field(None, ge=0, le=_MOST_TOKENS)

    @model_validator(mode="before")
    @classmethod
    def has_one_of_equal_names(cls, values: Any) -> Any:
        for names in _NAMES.values() if isinstance(values, Mapping) else ():
            there = [name for name in names if name in values]
            if len(there) > 1:
                raise ValueError(f"It has '{there[0]}' and '{there[1]}', which mean the same: give one of them")
        return values

    @model_validator(mode="after")
    def cites_what_is_there(self) -> Self:
        for citation in self.citations:
            if citation.passage >= len(self.passages) or not citation.start <= citation.end <= len(self.reply):
                raise ValueError("A citation is of no passage, or of words that the reply does not have")
        return self

    @property
    def asked(self) -> Question:
        """The row of an eval set that it answers."""
        return Question(
            question=self.question,
            messages=self.messages,
            answers=self.answers,
            sources=self.sources,
            kind=self.kind,
            group=self.group,
            unanswerable=self.unanswerable,
            pattern=self.pattern,
            passages=self.reference_passages,
        )


def read_samples(source: str, limit: int | None = None) -> list[Trial]:
    """Read the samples of a source, or the first so many.

    Raises:
        DataError: when there is no such table, it is empty, or for the first bad row, with its place.
    """
    seen: Counter[tuple[str, str]] = Counter()
    numbers: Counter[str] = Counter()
    trials = []
    for row, question in read_rows(source, "sample", _of_row, limit):
        place = (row.arm, question.digest()[:32])
        question_key = f"{place[1]}-{seen[place]}"
        seen[place] += 1
        said = f"{row.model_dump_json()}{question_key}"
        trials.append(
            Trial(
                key=sha256(said.encode()).hexdigest(),
                question_key=question_key,
                arm=row.arm,
                number=numbers[row.arm],
                conversation=question.conversation,
                sample=replace(
                    question.sample(row.reply),
                    passages=tuple(SamplePassage(passage.text, passage.source) for passage in row.passages),
                    citations=_citations(row),
                    is_grounded="passages" in row.model_fields_set,
                ),
                timings_ms={} if row.latency_ms is None else {"total": row.latency_ms},
                prompt_tokens=row.prompt_tokens,
                completion_tokens=row.completion_tokens,
            )
        )
        numbers[row.arm] += 1
    return trials


def _of_row(values: dict[str, Any]) -> tuple[GivenSample, Question]:
    row = GivenSample.model_validate(values)
    return row, row.asked


def _citations(row: GivenSample) -> tuple[SampleCitation, ...]:
    given = (SampleCitation(each.start, each.end, each.passage) for each in row.citations)
    return tuple(dict.fromkeys((*given, *marked_citations(row.reply, len(row.passages)))))
