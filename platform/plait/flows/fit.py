"""Fit hybrid search to a collection: questions of which the right document is known, measured, and the best kept.

In: a collection and its questions, or a served model that writes them. Out: how well each fusion finds the documents.
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import TYPE_CHECKING

from plait.errors import InvalidInput

if TYPE_CHECKING:
    from plait.index.collection import Index
    from plait.retrieval.fusion import FusionFit, KnownQuestion
    from plait.retrieval.request import Retrieval

LEAST_QUESTIONS = 20
Writing = Iterable[Awaitable["KnownQuestion | None"]]


def fit_collection(
    name: str,
    how: "Retrieval",
    rerank_model: str | None,
    questions: str | None,
    count: int,
    model: str,
    url: str | None,
    watched: Callable[[Writing, int], Writing],
) -> "tuple[FusionFit, int]":
    """Measure how to fuse words and meaning in a collection, and note the best in it; also how many questions it took.

    Args:
        name: of the collection.
        how: whose documents, and how the hits are reranked.
        rerank_model: the cross-encoder, where hits are reranked by one.
        questions: a table with question and source; None: `model` writes them.
        count: questions to have written.
        model: the served model that writes them.
        url: its server; None: this machine's.
        watched: is given what writes the questions, and how many there are, and gives it on.

    Raises:
        InvalidInput: when the questions are too few, the collection has no hybrid search, or there is no cross-encoder.
    """
    import asyncio

    from plait.index.collection import Index
    from plait.index.stores.connect import connect_store
    from plait.retrieval.fusion import fit_fusion
    from plait.retrieval.local_models import LocalModels
    from plait.retrieval.pipeline import RetrievalPipeline

    index = Index.open(name, connect_store())
    index.check_mode("hybrid")
    pipeline = RetrievalPipeline(LocalModels.load(index.vectors, how.rerank, rerank_model))
    pipeline.check(how)
    if questions is not None:
        known = _known_questions(index, how.tenant, questions)
    else:
        texts = index.texts_at_random(how.tenant, count)
        known = asyncio.run(_written_questions(texts, model, url, watched))
    if len(known) < LEAST_QUESTIONS:
        raise InvalidInput(
            f"There are {len(known)} questions about documents of '{name}', too few to tell one strategy from another.",
            f"Give at least {LEAST_QUESTIONS}."
            if questions is not None
            else f"Let a --model write them that follows instructions, or give at least {LEAST_QUESTIONS}.",
        )
    found = fit_fusion(pipeline, index, known, how)
    weight = found.best.dense_weight
    index.note_dense_weight(weight if isinstance(weight, float) else None)
    return found, len(known)


async def _written_questions(
    texts: Mapping[str, str], model: str, url: str | None, watched: Callable[[Writing, int], Writing]
) -> "list[KnownQuestion]":
    """Questions about texts, by the names of their documents, in their order."""
    import asyncio

    from plait.models.chat_endpoint import ChatEndpoint
    from plait.retrieval.fusion import write_question

    async with ChatEndpoint.served(model, url) as writer:
        writing = [asyncio.create_task(write_question(source, text, writer)) for source, text in texts.items()]
        try:
            for written in watched(asyncio.as_completed(writing), len(writing)):
                await written
        finally:  # of those that fail, the first one tells
            for task in writing:
                task.cancel()
            await asyncio.gather(*writing, return_exceptions=True)
    return [question for task in writing if (question := task.result()) is not None]


def _known_questions(index: "Index", tenant: str, file: str) -> "list[KnownQuestion]":
    """Those of a file whose document the collection has."""
    from plait.evaluation.eval_set import read_questions
    from plait.retrieval.fusion import KnownQuestion

    asked = [KnownQuestion(q.asked, source) for q in read_questions(file) for source in q.sources[:1]]
    present = index.document_states(tenant, {question.source for question in asked})
    return [question for question in asked if question.source in present]
