"""Fine-tune, retrieve, or both? Index, train and serve; ask an eval set of every arm; judge.

In: a compare recipe. Out: the verdict, every answer, and the page that shows both. It stands above jobs and serving,
which never import each other. The index is changed while it runs, where the recipe says what changed, and is brought
back at the end.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from plait.errors import DataError, InvalidInput
from plait.evaluation.eval_set import Question, read_questions
from plait.evaluation.runs.run import Run, begun
from plait.evaluation.runs.trial import Trial
from plait.flows.compare.answering import Answering, respondents, weights_of
from plait.flows.compare.documents import Documents
from plait.flows.compare.judging import check_judging, judged
from plait.flows.compare.serving import Serving, serving
from plait.flows.compare.trainings import Trained, train_arms, train_further
from plait.interruption import explained
from plait.jobs.compare.arms import Arm, arms_of
from plait.jobs.compare.conclude import conclude
from plait.jobs.compare.examples import ExamplesInPrompt
from plait.jobs.compare.findings import CHANGED, LEARNED, Findings
from plait.jobs.compare.identity import identity_of
from plait.jobs.compare.measured import Measured
from plait.jobs.compare.report import write_report
from plait.jobs.compare.verdict import Verdict
from plait.jobs.evaluate.report import EvaluationReport
from plait.jobs.ingest.embed import prompts_of
from plait.jobs.questions.origin import questions_by
from plait.models.encoders.load import load_embedding
from plait.recipes import CompareRecipe
from plait.settings import settings

_HOW_TO_GO_ON = "Run the same command again: what is indexed, trained and answered is used again."


@dataclass(frozen=True)
class Comparison:
    """What a comparison found; `page` shows it, `url` is of the server where it was kept."""

    findings: Findings
    verdict: Verdict
    page: Path


def run_comparison(
    recipe: CompareRecipe,
    folder: Path | None = None,
    url: str | None = None,
    keeps_serving: bool = False,
    command: str = "",
) -> Comparison:
    """Ask all arms of a recipe, through the server at `url`, or one that stands while this runs; judge them.

    Args:
        folder: of everything that is found; None: PLAIT_HOME/comparisons/NAME.
        url: of a server with this index and these adapters; None: one is deployed.
        keeps_serving: whether it goes on afterwards.
        command: that makes the same comparison again.

    Raises:
        DataError: for a bad eval set or bad examples.
        InvalidInput: when parts of the recipe do not fit the eval set or the server.
        Conflict: when an application of Plait's is served already, which this one would replace; when another process
            makes the same comparison.
        PlaitError: what ingestion, training, serving or judging says.
    """
    arms = arms_of(recipe)
    questions = _checked(recipe, arms, url)
    place = folder or settings().root / "comparisons" / recipe.name
    examples = _examples(recipe)
    with (
        explained("The comparison was interrupted.", _HOW_TO_GO_ON),
        begun({"compare": recipe.name, "data": recipe.data}, recipe.name, place / "answers") as run,
    ):
        answers = _Answers(recipe, arms, questions, examples, run, place)
        with serving(recipe, url, keeps_serving, place) as served:
            trials = answers.from_all(served)
        findings = answers.findings(judged(recipe, arms, run, trials), command)
    verdict = conclude(findings)
    return Comparison(findings, verdict, write_report(place, findings, verdict))


class _Answers:
    """The steps from a recipe to all answers."""

    def __init__(
        self,
        recipe: CompareRecipe,
        arms: Sequence[Arm],
        questions: Sequence[Question],
        examples: ExamplesInPrompt | None,
        run: Run,
        folder: Path,
    ) -> None:
        self._recipe, self._arms, self._questions, self._examples = recipe, arms, questions, examples
        self._run, self._folder = run, folder
        self._documents = Documents(recipe)
        self._measured = Measured.read(folder)
        self._trained: list[Trained] = []

    def from_all(self, served: Serving) -> list[Trial]:
        """Index, train, and ask every arm, first what the documents say now, then what they said before."""
        recipe, documents = self._recipe, self._documents
        self._measured = self._measured.kept(self._folder, indexing=documents.index_as_before())
        self._trained = train_arms(recipe)
        if recipe.changed is None:
            return self._ask(served, self._questions, self._arms, as_now=False)
        try:
            self._measured = self._measured.kept(self._folder, update=documents.index_as_now())
            # Where prompts have passages in training, they are those that the documents have now.
            self._trained += train_further(recipe, self._trained)
            changed = [question for question in self._questions if question.kind == CHANGED]
            trials = self._ask(served, changed, self._arms, as_now=True)
        finally:
            documents.index_as_before()
        others = [question for question in self._questions if question.kind != CHANGED]
        updated = [arm for arm in self._arms if arm.is_updated]
        trials += self._ask(served, others, [arm for arm in self._arms if not arm.is_updated], as_now=False)
        learned = [question for question in others if question.kind == LEARNED]
        return trials + self._ask(served, learned, updated, as_now=False)

    def findings(self, evaluation: EvaluationReport, command: str) -> Findings:
        """All that was measured."""
        weights = {f"weights of {run}": key for run, key in weights_of(self._arms, self._trained).items()}
        return Findings(
            recipe=self._recipe,
            arms=self._arms,
            evaluation=evaluation,
            trainings=[each.training for each in self._trained],
            indexing=self._measured.indexing,
            update=self._measured.update,
            questions_by=questions_by(self._recipe.data),
            identity=identity_of(self._recipe, self._documents.fingerprint(as_now=False), weights),
            command=command,
        )

    def _ask(self, served: Serving, questions: Sequence[Question], arms: Sequence[Arm], as_now: bool) -> list[Trial]:
        if not questions or not arms:
            return []
        answering = Answering(self._recipe, self._run, served, self._examples)
        of = respondents(self._recipe, arms, self._trained)
        return answering.ask(questions, of, self._documents.fingerprint(as_now))


def _checked(recipe: CompareRecipe, arms: Sequence[Arm], url: str | None) -> list[Question]:
    """The questions, and all that can be found out before minutes of training."""
    questions = read_questions(recipe.data, recipe.limit)
    check_judging(recipe, questions, arms)
    has_changed = any(question.kind == CHANGED for question in questions)
    if has_changed and recipe.changed is None:
        raise InvalidInput(
            f"'{recipe.data}' asks about facts that changed, and the recipe does not say what changed.",
            "Set changed.documents, or leave the questions of the kind 'changed' out.",
        )
    if recipe.changed is not None and not has_changed:
        raise InvalidInput(
            f"The recipe says what changed, and no question of '{recipe.data}' is of the kind 'changed'.",
            "Ask about what changed, or leave 'changed' out.",
        )
    if recipe.changed is not None and not Path(recipe.changed.documents).is_dir():
        raise DataError(f"There is no folder '{recipe.changed.documents}'.", "Set changed.documents.")
    full = [name for name, training in recipe.tuned.items() if training.adapter.trains_base]
    if full and url is not None:
        raise InvalidInput(
            f"The arm '{full[0]}' is a model of its own, which the server at {url} does not have.", "Leave --url out."
        )
    return questions


def _examples(recipe: CompareRecipe) -> ExamplesInPrompt | None:
    if recipe.icl is None:
        return None
    how = recipe.ingest.embedding
    embedding = load_embedding(how.model, how.dtype, prompts_of(how), how.dimensions, how.requests_per_minute)
    return ExamplesInPrompt(recipe.icl, embedding)
