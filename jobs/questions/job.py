"""Make questions of documents: read, find facts, ask about them, filter, group, write.

In: a `QuestionsRecipe` and a folder. Out: the files of `files.py`. A model's replies are kept, so a run that was killed
goes on where it was, and the same run again asks nothing.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from plait.errors import DataError
from plait.evaluation.judges.opening import open_model
from plait.evaluation.score import JudgeUse
from plait.jobs.evaluate.progress import shown
from plait.jobs.ingest.embed import prompts_of
from plait.jobs.questions.by_templates import make_by_templates
from plait.jobs.questions.by_writer import make_by_writer
from plait.jobs.questions.files import check_folder, write_files
from plait.jobs.questions.question_set import QuestionSet
from plait.jobs.questions.reading import ReadCorpus, read_corpus
from plait.models.embedding import Embedding
from plait.models.encoders.load import load_embedding
from plait.questions.search import PassageSearch
from plait.questions.writer import Writer
from plait.recipes import EmbeddingConfig, ModelEndpoint, QuestionsRecipe


@dataclass(frozen=True)
class Made:
    """What a run made.

    Attributes:
        report: what report.json says.
        use: what the model cost this time; kept replies cost nothing.
        unread: replies that could not be read, each with the reason.
    """

    folder: Path
    questions: QuestionSet
    report: dict[str, Any]
    use: JudgeUse
    unread: tuple[str, ...]


def make_questions(recipe: QuestionsRecipe, out: Path) -> Made:
    """Make an eval set, training data and edited documents of the recipe's documents.

    Raises:
        InvalidInput: when the folder holds files of somebody else's, or the writer's key is not set.
        DataError: when no document can be read, or no question is left.
        ModelNotFound: when there is no such embedding model.
        Unavailable: when the writer does not answer.
    """
    check_folder(out, recipe.ingest.sources)
    read = read_corpus(recipe.ingest)
    search = PassageSearch(read.corpus.passages, partial(_embedding, recipe.ingest.embedding))
    use, unread = JudgeUse(), list[str]()
    if recipe.writer is None:
        made = make_by_templates(read.corpus, recipe, search)
    else:
        made, writer = asyncio.run(_written(recipe, recipe.writer, read, search))
        use, unread = writer.use, writer.unread
    if not sum(made.counts.values()):
        raise DataError(_why_nothing(made, read, recipe, unread), _WHAT_TO_DO[recipe.writer is None])
    return Made(out, made, write_files(out, made, read, recipe), use, tuple(unread))


async def _written(
    recipe: QuestionsRecipe, how: ModelEndpoint, read: ReadCorpus, search: PassageSearch
) -> tuple[QuestionSet, Writer]:
    async with open_model(how) as model:
        writer = Writer(model, recipe.concurrency)
        return await make_by_writer(read.corpus, recipe, search, writer, shown), writer


def _embedding(config: EmbeddingConfig) -> Embedding:
    return load_embedding(config.model, config.dtype, prompts_of(config), config.dimensions, config.requests_per_minute)


_WHAT_TO_DO = {
    True: "Name a model that writes questions: --writer NAME.",
    False: "Try a larger model, or more documents.",
}
"""By whether there is no writer."""


def _why_nothing(made: QuestionSet, read: ReadCorpus, recipe: QuestionsRecipe, unread: Sequence[str]) -> str:
    lost = ", ".join(f"{each.dropped} {each.name}" for each in made.drops.filters if each.dropped)
    if recipe.writer is None and not lost:
        what = "no line `key: value`, table or sentence of a known form that states a short fact"
        return f"The {len(read.corpus.documents)} documents have {what}."
    unreadable = f"{len(unread)} replies could not be read (the first: {unread[0]}) " if unread else ""
    dropped = f"dropped: {lost}" if lost else "the model found no fact"
    return f"No question is left of {len(read.corpus.passages)} passages; {unreadable}{dropped}."
