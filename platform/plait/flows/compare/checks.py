"""What can be found out before a comparison indexes or trains anything: minutes or hours later it would be no use.

In: a recipe. Out: its questions, or one sentence. It asks nobody, and needs no store, cluster or server.
"""

from collections import Counter
from collections.abc import Sequence
from difflib import get_close_matches
from itertools import islice

from plait.documents.row_files import BadRow
from plait.documents.row_source import find_rows
from plait.errors import DataError, InvalidInput
from plait.evaluation.eval_set import Question, read_questions
from plait.evaluation.judges.opening import check_judge_name, key_of
from plait.flows.compare.documents import Documents
from plait.flows.compare.judging import check_judging
from plait.flows.compare.serving import check_serving
from plait.jobs.compare.arms import Arm
from plait.jobs.compare.examples import read_examples
from plait.jobs.compare.findings import CHANGED, KINDS
from plait.jobs.train.objectives.objective import objective_of
from plait.jobs.train.parse import parse_row
from plait.jobs.train.prepare import check_context
from plait.models.source import resolve_model
from plait.recipes import CompareRecipe, JudgeEndpoint, TrainRecipe

_ROWS_LOOKED_AT = 1000
"""Of training data: a file that is another one shows in its first row; training looks at all of them."""


def checked(recipe: CompareRecipe, arms: Sequence[Arm], url: str | None) -> list[Question]:
    """The questions of a comparison that can be made.

    Args:
        url: of a server that stands anyway.

    Raises:
        DataError: for a bad eval set, bad examples, or documents in which nothing changed.
        InvalidInput: when parts of the recipe do not fit each other, the eval set or the server.
        ModelNotFound: when the base model is not there.
    """
    questions = read_questions(recipe.data, recipe.limit)
    print(f"'{recipe.data}': {_counted(questions)}", flush=True)
    check_judging(recipe, questions, arms)
    if isinstance(recipe.judge, JudgeEndpoint):
        key_of(recipe.judge)
    else:
        check_judge_name(recipe.judge)
    _check_kinds(recipe, questions)
    _check_server(recipe, url)
    if recipe.changed is not None and recipe.changed.train is not None:
        read_examples(recipe.changed.train)
    for name, training in recipe.tuned.items():
        _check_rows(f"tuned.{name}.data.train", training.data.train, training)
        if training.data.eval is not None:
            _check_rows(f"tuned.{name}.data.eval", training.data.eval, training)
    Documents(recipe).check()
    base = resolve_model(recipe.model)
    for training in recipe.tuned.values():
        check_context(training, base)
    return questions


def _counted(questions: Sequence[Question]) -> str:
    """How many questions of which kind: one that is misspelt shows here."""
    kinds = Counter(question.kind or "without kind" for question in questions)
    return f"{len(questions)} questions: " + ", ".join(f"{count} {kind!r}" for kind, count in kinds.items())


def _check_kinds(recipe: CompareRecipe, questions: Sequence[Question]) -> None:
    own = sorted({question.kind for question in questions} - KINDS.keys())
    for kind in own:
        meant = "_".join(kind.casefold().replace("-", " ").split())
        if meant in KINDS:
            raise DataError(f"'{recipe.data}' has questions of the kind '{kind}'.", f"Write '{meant}'.")
    has_changed = any(question.kind == CHANGED for question in questions)
    if has_changed and recipe.changed is None:
        raise InvalidInput(
            f"'{recipe.data}' asks about facts that changed, and the recipe does not say what changed.",
            "Set changed.documents, or leave the questions of the kind 'changed' out.",
        )
    if recipe.changed is not None and not has_changed:
        first = f" among its first {recipe.limit}" if recipe.limit is not None else ""
        near = get_close_matches(CHANGED, own, n=1)
        raise InvalidInput(
            f"The recipe says what changed, and no question of '{recipe.data}'{first} is of the kind 'changed'.",
            f"Is '{near[0]}' misspelt?" if near else "Ask about what changed, or leave 'changed' out.",
        )


def _check_server(recipe: CompareRecipe, url: str | None) -> None:
    if url is None:
        check_serving(recipe)
        return
    full = [name for name, training in recipe.tuned.items() if training.adapter.trains_base]
    if full:
        raise InvalidInput(
            f"The arm '{full[0]}' is a model of its own, which the server at {url} does not have.", "Leave --url out."
        )
    if recipe.serve:
        print(f"The server at {url} has args of its own: those of the recipe's 'serve' do not reach it.", flush=True)


def _check_rows(field: str, source: str, training: TrainRecipe) -> None:
    """Find out that data is missing, or of something else.

    Raises:
        DataError: for what training would refuse, with its place.
    """
    tables, objective = find_rows(source), objective_of(training.objective)
    rows = ((part, row) for part in tables.parts for row in tables.rows(part))
    count = 0
    for part, row in islice(rows, _ROWS_LOOKED_AT):
        try:
            parse_row(row.values(), objective)
        except BadRow as error:
            raise DataError(f"{part}:{row.line} {error}.", f"It is a row of {field}.") from None
        count += 1
    if not count:
        raise DataError(f"'{source}' holds no rows.", f"Give {field} some.")
