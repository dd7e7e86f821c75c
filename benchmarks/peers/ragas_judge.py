"""Ragas as who judges, by its own metrics; see judging_peer.py."""

import os
from typing import Any

os.environ["RAGAS_DO_NOT_TRACK"] = "true"

from judging_peer import Score, Used, openai_client, serve
from pydantic import BaseModel
from ragas.embeddings import OpenAIEmbeddings
from ragas.embeddings.base import BaseRagasEmbedding
from ragas.llms.base import InstructorBaseRagasLLM, llm_factory
from ragas.metrics.collections import AnswerRelevancy, ContextPrecision, ContextRecall, Faithfulness


class Scripted(InstructorBaseRagasLLM):
    """Gives the verdicts of a script, in the shape that a metric asks for. Verdicts that are missing are not given."""

    def __init__(self, claims: int, verdicts: list[bool | None]) -> None:
        self._claims = [f"Claim {number}." for number in range(claims)]
        self._verdicts = verdicts
        self._passage = 0

    def generate(self, prompt: str, response_model: Any) -> BaseModel:
        """The next thing that is asked for."""
        shape = response_model.__name__
        given = [(n, int(verdict)) for n, verdict in enumerate(self._verdicts) if verdict is not None]
        if shape == "StatementGeneratorOutput":
            return response_model(statements=self._claims)
        if shape == "NLIStatementOutput":
            found = [{"statement": self._claims[n], "reason": "", "verdict": verdict} for n, verdict in given]
            return response_model(statements=found)
        if shape == "ContextRecallOutput":
            found = [{"statement": self._claims[n], "reason": "", "attributed": verdict} for n, verdict in given]
            return response_model(classifications=found)
        if shape == "ContextPrecisionOutput":
            verdict = self._verdicts[self._passage]
            self._passage += 1
            if verdict is None:
                raise ValueError("no verdict")
            return response_model(reason="", verdict=int(verdict))
        return response_model(question="Q?", noncommittal=int(not self._verdicts[0]))

    async def agenerate(self, prompt: str, response_model: Any) -> BaseModel:
        """See `generate`."""
        return self.generate(prompt, response_model)


class Alike(BaseRagasEmbedding):
    """All texts mean the same."""

    def embed_text(self, text: str, **_: Any) -> list[float]:
        """One vector for all."""
        return [1.0, 0.0]

    async def aembed_text(self, text: str, **_: Any) -> list[float]:
        """See `embed_text`."""
        return self.embed_text(text)


async def by_script(script: dict[str, Any]) -> float:
    """The score of a metric whose judge gives these verdicts."""
    passages = [f"Passage {n}." for n in range(script["passages"])]
    sample = {"metric": script["metric"], "question": "Q?", "reply": "A.", "answer": "A.", "passages": passages}
    return await _score(Scripted(script["claims"], script["verdicts"]), Alike(), sample)


def by_model(about: dict[str, Any], used: Used) -> Score:
    """How a sample is scored by a model, with Ragas' own settings."""
    client = openai_client(about["url"], used)
    llm = llm_factory(about["model"], client=client)
    embeddings = OpenAIEmbeddings(client=client, model=about["embedding"])
    return lambda sample: _score(llm, embeddings, sample)


async def _score(llm: InstructorBaseRagasLLM, embeddings: BaseRagasEmbedding, sample: dict[str, Any]) -> float:
    question, passages = sample["question"], sample["passages"]
    if sample["metric"] == "faithfulness":
        found = await Faithfulness(llm).ascore(question, sample["reply"], passages)
    elif sample["metric"] == "answer_relevance":
        found = await AnswerRelevancy(llm, embeddings).ascore(question, sample["reply"])
    elif sample["metric"] == "context_precision":
        found = await ContextPrecision(llm).ascore(question, sample["answer"], passages)
    else:
        found = await ContextRecall(llm).ascore(question, passages, sample["answer"])
    return float(found.value)


if __name__ == "__main__":
    serve(by_script, by_model)
