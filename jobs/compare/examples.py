"""In-context learning: the examples whose questions are nearest stand before a question (Liu et al. 2022,
arXiv:2101.06804).

In: questions. Out: conversations that begin with examples, the nearest one last. Nothing is trained.
"""

from collections.abc import Sequence
from functools import cached_property

from plait.errors import DataError
from plait.evaluation.eval_set import Question, read_rows
from plait.jobs.evaluate.asked_arm import Conversation
from plait.jobs.train.objectives.objective import objective_of
from plait.jobs.train.objectives.sft import SftConfig
from plait.jobs.train.parse import parse_row
from plait.jobs.train.rows import Conversation as Example
from plait.models.embedding import Embedding
from plait.models.vectors import Vectors
from plait.recipes import NearestExamples


class ExamplesInPrompt:
    """What is sent for questions, when examples stand before them.

    Raises:
        DataError: as `read_examples`.
    """

    def __init__(self, config: NearestExamples, embedding: Embedding) -> None:
        self._examples = read_examples(config.examples)
        self._top_k, self._embedding = config.top_k, embedding

    def __call__(self, questions: Sequence[Question]) -> list[Conversation]:
        """The conversation of each question, after its examples."""
        if not questions:
            return []
        scores = self._embedding.encode_queries([question.asked for question in questions]) @ self._vectors.T
        # Of equal scores the first in the file: the same questions get the same examples on every machine.
        nearest = (-scores).argsort(axis=1, kind="stable")[:, : self._top_k]
        return [
            (
                *(message for place in reversed(places) for message in self._examples[place].messages),
                *question.conversation,
            )
            for question, places in zip(questions, nearest.tolist(), strict=True)
        ]

    @cached_property
    def _vectors(self) -> Vectors:
        return self._embedding.encode_queries([example.question for example in self._examples])


def read_examples(source: str) -> list[Example]:
    """The examples of training data; texts without a question are none.

    Raises:
        DataError: when there is no such file, it has no example, or for the first bad row, with its place.
    """
    objective = objective_of(SftConfig())
    meanings = read_rows(source, "example", lambda values: parse_row(values, objective).meaning, None)
    found = [meaning for meaning in meanings if isinstance(meaning, Example)]
    if not found:
        raise DataError(f"'{source}' has no example of a question and its answer.")
    return found
