"""Fit hybrid search to a collection: questions of which the right document is known, measured, and the best kept.

In: a collection and its questions, or a served model that writes them. Out: how well each fusion finds the documents.
"""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from plait.errors import InvalidInput

if TYPE_CHECKING:
    from plait.index.collection import Index
    from plait.retrieval.fitting import Fit, KnownQuestion

LEAST_QUESTIONS = 20
Texts = Iterable[tuple[str, str]]


def fit_collection(
    name: str,
    tenant: str,
    questions: Path | None,
    count: int,
    model: str,
    url: str | None,
    watched: Callable[[Texts], Texts],
) -> "tuple[Fit, int]":
    """Measure how to fuse words and meaning in a collection, and note the best in it; also how many questions it took.

    Args:
        name: of the collection.
        tenant: whose documents.
        questions: JSONL with question and source; None: `model` writes them.
        count: questions to have written.
        model: the served model that writes them.
        url: its server; None: this machine's.
        watched: is given the texts that questions are written about, and gives them on.

    Raises:
        InvalidInput: when the questions are too few, or the collection has no hybrid search.
    """
    from plait.chat_client import ask
    from plait.index.collection import Index
    from plait.models.endpoint import embedding_of
    from plait.retrieval.fitting import fit
    from plait.retrieval.retriever import Retriever
    from plait.retrieval.written_questions import QUESTION_TOKENS, write_questions
    from plait.settings import settings

    index = Index.open(name)
    index.check_mode("hybrid")
    if questions is not None:
        known = _known_questions(index, tenant, questions)
    else:
        base = url or f"http://{settings().bind}:{settings().http_port}"
        texts = watched(index.texts_at_random(tenant, count).items())
        known = list(write_questions(texts, lambda words: ask(base, model, words, QUESTION_TOKENS).text))
    if len(known) < LEAST_QUESTIONS:
        raise InvalidInput(
            f"There are {len(known)} questions about documents of '{name}', too few to tell one way from another.",
            f"Give at least {LEAST_QUESTIONS}."
            if questions is not None
            else f"Let a --model write them that follows instructions, or give at least {LEAST_QUESTIONS}.",
        )
    found = fit(Retriever(index, embedding_of(index.vectors)), known, tenant)
    weight = found.best.dense_weight
    index.note_dense_weight(weight if isinstance(weight, float) else None)
    return found, len(known)


def _known_questions(index: "Index", tenant: str, file: Path) -> "list[KnownQuestion]":
    """Those of a file whose document the collection has."""
    from plait.jobs.evaluate.questions import read_questions
    from plait.retrieval.fitting import KnownQuestion

    asked = [KnownQuestion(q.question, q.source) for q in read_questions(file) if q.source is not None]
    present = index.document_states(tenant, {question.source for question in asked})
    return [question for question in asked if question.source in present]
