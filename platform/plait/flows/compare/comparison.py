"""Fine-tune, retrieve, or both? Index, train and serve; ask an eval set of every arm; judge.

In: a compare recipe. Out: the verdict, every answer, and the page that shows both. It stands above jobs and serving,
which never import each other. The index is changed while it runs, where the recipe says what changed, and is brought
back at the end.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from plait.errors import InvalidInput
from plait.evaluation.eval_set import Question
from plait.evaluation.runs.run import Run, begun
from plait.evaluation.runs.trial import Trial
from plait.flows.compare.answering import Answering, respondents, weights_of
from plait.flows.compare.checks import checked
from plait.flows.compare.documents import Documents
from plait.flows.compare.judging import judged
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
    questions = checked(recipe, arms, url)
    place = folder or settings().root / "comparisons" / recipe.name
    examples = _examples(recipe)
    with (
        explained("The comparison was interrupted.", _HOW_TO_GO_ON),
        begun({"compare": recipe.name, "data": recipe.data}, recipe.name, place / "answers") as run,
    ):
        answers = _Answers(recipe, arms, questions, examples, run, place)
        answers.ask_endpoints(Serving(recipe, url, place))
        if url is not None:
            answers.check_server(url)
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
        self._recipe, self._arms, self._examples = recipe, arms, examples
        self._changed = [question for question in questions if question.kind == CHANGED]
        self._lasting = [question for question in questions if question.kind != CHANGED]
        self._run, self._folder = run, folder
        self._documents = Documents(recipe)
        self._measured = Measured.read(folder)
        self._trained: list[Trained] = []

    def ask_endpoints(self, served: Serving) -> None:
        """Ask those who need neither index nor training: one that does not answer is not found out hours later.

        Raises:
            InvalidInput: when one refuses every question.
            PlaitError: when one cannot be asked.
        """
        for arm in self._arms:
            if arm.kind != "endpoint":
                continue
            both = (self._changed, self._lasting)
            trials = [trial for part in both for trial in self._ask(served, part, [arm], as_now=False)]
            if all(trial.error for trial in trials):
                raise InvalidInput(
                    f"The endpoint '{arm.name}' answers none of {len(trials)} questions. It says: {trials[0].error}",
                    f"Mend endpoints.{arm.name}.",
                )

    def check_server(self, url: str) -> None:
        """Find out before anything is indexed that a server that stands anyway is none, or another one."""
        answering = Answering(self._recipe, self._run, Serving(self._recipe, url, self._folder), self._examples)
        answering.check_server(url, self._lasting, self._documents.fingerprint(as_now=False))

    def from_all(self, served: Serving) -> list[Trial]:
        """Index, train, and ask every arm, first what the documents say now, then what they said before."""
        recipe, documents = self._recipe, self._documents
        before = documents.fingerprint(as_now=False)
        self._measured = self._measured.kept(self._folder, before, documents.index_as_before())
        self._trained = train_arms(recipe)
        if recipe.changed is None:
            return self._ask(served, self._lasting, self._arms, as_now=False)
        try:
            now = documents.fingerprint(as_now=True)
            self._measured = self._measured.kept(self._folder, now, documents.index_as_now())
            # Where prompts have passages in training, they are those that the documents have now.
            self._trained += train_further(recipe, self._trained)
            trials = self._ask(served, self._changed, self._arms, as_now=True)
        finally:
            documents.index_as_before()
        updated = [arm for arm in self._arms if arm.is_updated]
        trials += self._ask(served, self._lasting, [arm for arm in self._arms if not arm.is_updated], as_now=False)
        learned = [question for question in self._lasting if question.kind == LEARNED]
        return trials + self._ask(served, learned, updated, as_now=False)

    def findings(self, evaluation: EvaluationReport, command: str) -> Findings:
        """All that was measured."""
        before, now = (self._documents.fingerprint(as_now) for as_now in (False, True))
        indexings = self._measured.indexings
        weights = {f"weights of {run}": key for run, key in weights_of(self._arms, self._trained).items()}
        return Findings(
            recipe=self._recipe,
            arms=self._arms,
            evaluation=evaluation,
            trainings=[each.training for each in self._trained],
            indexing=indexings.get(before),
            update=indexings.get(now) if now != before else None,
            questions_by=questions_by(self._recipe.data),
            identity=identity_of(self._recipe, before, weights),
            command=command,
        )

    def _ask(self, served: Serving, questions: Sequence[Question], arms: Sequence[Arm], as_now: bool) -> list[Trial]:
        if not questions or not arms:
            return []
        answering = Answering(self._recipe, self._run, served, self._examples)
        of = respondents(self._recipe, arms, self._trained)
        return answering.ask(questions, of, self._documents.fingerprint(as_now))


def _examples(recipe: CompareRecipe) -> ExamplesInPrompt | None:
    if recipe.icl is None:
        return None
    how = recipe.ingest.embedding
    embedding = load_embedding(how.model, how.dtype, prompts_of(how), how.dimensions, how.requests_per_minute)
    return ExamplesInPrompt(recipe.icl, embedding)
