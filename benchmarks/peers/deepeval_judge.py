"""DeepEval as who judges, by its own metrics; see judging_peer.py."""

import os
from typing import Any

os.environ |= {"DEEPEVAL_TELEMETRY_OPT_OUT": "YES", "DEEPEVAL_DISABLE_TIMEOUTS": "YES"}

from deepeval.metrics import (
    AnswerRelevancyMetric,
    ContextualPrecisionMetric,
    ContextualRecallMetric,
    FaithfulnessMetric,
)
from deepeval.models import DeepEvalBaseLLM, LocalModel
from deepeval.test_case import LLMTestCase
from judging_peer import Score, Used, http_client, serve
from pydantic import BaseModel

MOST_TOKENS = 1024
"""Of a judge's reply: as many as Ragas asks for. DeepEval names no number."""

METRICS = {
    "faithfulness": FaithfulnessMetric,
    "answer_relevance": AnswerRelevancyMetric,
    "context_precision": ContextualPrecisionMetric,
    "context_recall": ContextualRecallMetric,
}


class AsyncLocalModel(LocalModel):
    """A local model that is asked asynchronously only: a client of the other kind would not take our HTTP client."""

    def load_model(self, async_mode: bool = True) -> Any:
        """The client."""
        return super().load_model(async_mode=True)


class Scripted(DeepEvalBaseLLM):
    """Gives the verdicts of a script, in the shape that a metric asks for. Verdicts that are missing are not given."""

    def __init__(self, claims: int, verdicts: list[bool | None]) -> None:
        self._claims = [f"Claim {number}." for number in range(claims)]
        self._verdicts = verdicts
        super().__init__("scripted")

    def load_model(self) -> "Scripted":
        """Itself."""
        return self

    def get_model_name(self) -> str:
        """Its name."""
        return "scripted"

    def generate(self, prompt: str, schema: Any = None) -> BaseModel:
        """The next thing that is asked for."""
        for field in ("claims", "statements", "truths"):
            if field in schema.model_fields:
                return schema(**{field: self._claims})
        given = [{"verdict": "yes" if one else "no", "reason": ""} for one in self._verdicts if one is not None]
        return schema(verdicts=given)

    async def a_generate(self, prompt: str, schema: Any = None) -> BaseModel:
        """See `generate`."""
        return self.generate(prompt, schema)


async def by_script(script: dict[str, Any]) -> float:
    """The score of a metric whose judge gives these verdicts."""
    passages = [f"Passage {n}." for n in range(script["passages"])]
    sample = {"metric": script["metric"], "question": "Q?", "reply": "A.", "answer": "A.", "passages": passages}
    return await _score(Scripted(script["claims"], script["verdicts"]), sample)


def by_model(about: dict[str, Any], used: Used) -> Score:
    """How a sample is scored by a model behind an endpoint, as DeepEval asks local models."""
    model = AsyncLocalModel(
        model=about["model"],
        api_key="none",
        base_url=about["url"],
        generation_kwargs={"max_tokens": MOST_TOKENS},
        http_client=http_client(used),
    )
    return lambda sample: _score(model, sample)


async def _score(model: DeepEvalBaseLLM, sample: dict[str, Any]) -> float:
    # Without the sentence that explains the score, which costs a request of its own; neither Ragas nor Plait asks it.
    metric = METRICS[sample["metric"]](model=model, include_reason=False)
    case = LLMTestCase(
        input=sample["question"],
        actual_output=sample["reply"],
        expected_output=sample["answer"],
        retrieval_context=sample["passages"],
    )
    await metric.a_measure(case, _show_indicator=False)
    return float(metric.score)


if __name__ == "__main__":
    serve(by_script, by_model)
