"""What an evaluation found: every answer, and accuracy by model with its interval."""

from pydantic import BaseModel, ConfigDict

from plait.evaluation.intervals import Proportion, mcnemar_exact, wilson
from plait.jobs.evaluate.questions import Question


class Judged(BaseModel):
    """One answer of one model, judged.

    Attributes:
        cited: the source of the first citation.
        prompt_tokens, completion_tokens: read and written for it, passages included; None: the server does not say.
    """

    model_config = ConfigDict(frozen=True)

    reply: str
    is_correct: bool
    latency_ms: float
    cited: str | None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None


class EvaluationReport(BaseModel):
    """Answers of every model to every question; `answers[model]` is in the order of `questions`."""

    model_config = ConfigDict(frozen=True)

    questions: list[Question]
    answers: dict[str, list[Judged]]

    @property
    def models(self) -> list[str]:
        return list(self.answers)

    @property
    def kinds(self) -> list[str]:
        """Kinds of question, in the order in which they first come."""
        return list(dict.fromkeys(question.kind for question in self.questions))

    def accuracy(self, model: str, kind: str | None = None) -> Proportion:
        """Share of right answers with its 95% Wilson interval, over all questions or those of a kind."""
        judged = [
            answer.is_correct
            for question, answer in zip(self.questions, self.answers[model], strict=True)
            if kind is None or question.kind == kind
        ]
        return wilson(sum(judged), len(judged))

    def best(self) -> str:
        """The model with the most right answers; the first of equals."""
        return max(self.models, key=lambda model: self.accuracy(model).successes)

    def right(self, model: str) -> list[bool]:
        """Whether each answer of a model is right."""
        return [answer.is_correct for answer in self.answers[model]]

    def p_value(self, first: str, second: str) -> float:
        """Exact McNemar test that two models are equally good on these questions."""
        return mcnemar_exact(self.right(first), self.right(second))

    def median_latency_ms(self, model: str) -> float:
        ordered = sorted(answer.latency_ms for answer in self.answers[model])
        return ordered[len(ordered) // 2]
