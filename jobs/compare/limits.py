"""What a comparison cannot tell: kinds of question that its eval set lacks, and what to keep in mind of its figures."""

from collections.abc import Iterator, Mapping, Sequence
from statistics import fmean

from plait.jobs.compare.accuracy import Answers, metric_of
from plait.jobs.compare.findings import CHANGED, FORM, HELD_OUT, LEARNED, MULTI_HOP, UNANSWERABLE, Findings

_HANDFUL = 5
"""Fewer questions of a kind tell two arms apart at no usual significance, whatever is answered."""

_UNTOLD: Mapping[str, tuple[str, str]] = {
    LEARNED: ("about facts that were in the training data", "what training taught"),
    HELD_OUT: ("about facts that nobody was trained on", "what arms know beyond their training"),
    CHANGED: ("about facts that changed after training", "how an adapter ages"),
    UNANSWERABLE: ("without an answer in the documents", "how often arms make one up"),
    MULTI_HOP: ("across two documents", "which arm puts facts together"),
    FORM: ("about the form of the reply", "what training teaches of it"),
}
"""By kind: what its questions are, and what they tell."""

FORGETTING = 1.15
"""From how many times the perplexity of general text on a model is said to have forgotten."""


def untold(findings: Findings) -> list[str]:
    """Of every kind that the eval set lacks, or hardly has, what therefore is not told."""
    counts = _counts(findings)
    sentences = []
    for kind, (questions, what) in _UNTOLD.items():
        count = counts.get(kind, 0)
        if count == 0:
            sentences.append(f"There is no question {questions}: {what} is not told.")
        elif count < _HANDFUL:
            there_are = "is only 1 question" if count == 1 else f"are only {count} questions"
            sentences.append(f"There {there_are} {questions}: {what} is hardly told.")
    return sentences


def caveats(findings: Findings, answers: Sequence[Answers]) -> list[str]:
    """What to keep in mind, a sentence each."""
    return [
        *_of_questions(findings),
        *_of_documents(answers),
        *_of_trainings(findings),
        *_of_failures(findings, answers),
        *_of_judge(findings),
    ]


def forgetting(findings: Findings) -> dict[tuple[str, bool], tuple[float, float]]:
    """Perplexity of general text before and after training, the means of its seeds, where measured.

    By tuned arm, and whether that is its further training on what changed.
    """
    measured: dict[tuple[str, bool], list[tuple[float, float]]] = {}
    for training in findings.trainings:
        before, after = training.perplexity_before, training.perplexity_after
        if before is not None and after is not None:
            measured.setdefault((training.arm, training.is_updated), []).append((before, after))
    return {
        trained: (fmean(before for before, _ in seeds), fmean(after for _, after in seeds))
        for trained, seeds in measured.items()
    }


def _counts(findings: Findings) -> dict[str, int]:
    """Questions by what they ask about; those of an eval set that names its kinds in other words count, too."""
    keys: dict[str, set[str]] = {}
    for judged in findings.evaluation.trials:
        sample, key = judged.trial.sample, judged.trial.question_key
        kinds = {sample.kind}
        if sample.unanswerable:
            kinds.add(UNANSWERABLE)
        if FORM in judged.scores:
            kinds.add(FORM)
        for kind in kinds:
            keys.setdefault(kind, set()).add(key)
    return {kind: len(of_kind) for kind, of_kind in keys.items()}


def _of_questions(findings: Findings) -> Iterator[str]:
    study = "such questions rank retrieval settings, not generators (van Elburg et al. 2025, arXiv:2508.11758)"
    if findings.questions_by == "templates":
        yield (
            f"The questions were made by templates: {study}; what they carry here is how kinds of question differ,"
            " and the words that they share with the documents favour search by words."
        )
    elif findings.questions_by is not None:
        yield (
            f"The questions were written by {findings.questions_by}: {study};"
            " what they carry here is how kinds of question differ."
        )


def _of_documents(answers: Sequence[Answers]) -> Iterator[str]:
    questions = {question.key: question for each in answers for question in each.questions}
    groups = {question.group for question in questions.values()}
    if groups == {""}:
        yield (
            "No question names its document (group), so all count as independent of each other:"
            " where several are about one document, the intervals are too narrow."
        )
    elif len(groups) == 1:
        yield "All questions are about one document: how far other documents would differ is not in the intervals."
    else:
        for kind in dict.fromkeys(question.kind for question in questions.values()):
            of_kind = [question.group for question in questions.values() if question.kind == kind]
            if len(of_kind) > 1 and len(set(of_kind)) == 1 and of_kind[0]:
                yield (
                    f"All questions of the kind {kind} are about one document:"
                    " how far others would differ is not in its intervals."
                )


def _of_trainings(findings: Findings) -> Iterator[str]:
    trained = list(dict.fromkeys(arm.trained for arm in findings.arms if arm.trained))
    if not trained:
        return
    if findings.recipe.seeds == 1:
        yield (
            f"{_listed(trained)} {'was' if len(trained) == 1 else 'were'} trained once:"
            " what another seed would change is not in the intervals (seeds=3 would show it)."
        )
    found = forgetting(findings)
    for (name, is_updated), (before, after) in found.items():
        if after > FORGETTING * before:
            arm = f"{name} updated" if is_updated else name
            yield (
                f"{arm} has forgotten some of what the base model knew: perplexity of general text is {after:.1f}"
                f" after training, {before:.1f} before ({after / before:.2f} times)."
            )
    unmeasured = [name for name in trained if (name, False) not in found]
    if unmeasured:
        yield f"What {_listed(unmeasured)} forgot of general text was not measured."
    if any(arm.is_updated for arm in findings.arms):
        yield (
            "Arms that were trained further on what changed were asked about learned and changed facts alone,"
            " and are not in the figures over all kinds."
        )


def _of_failures(findings: Findings, answers: Sequence[Answers]) -> Iterator[str]:
    for arm in findings.arms:
        trials = [judged.trial for run in arm.runs for judged in findings.evaluation.of_arm(run)]
        errors = [trial.error for trial in trials if trial.error]
        if errors:
            yield (
                f"{len(errors)} of {len(trials)} answers of {arm.name} failed, and count as right in the upper bounds"
                f" and as wrong in the lower ones; the first: {errors[0]}"
            )
    for each in answers:
        failed = {
            judged.trial.question_key
            for run in each.arm.runs
            for judged in findings.evaluation.of_arm(run)
            if judged.trial.error
        }
        unsaid = sum(
            not is_said and question.key not in failed
            for question, is_said in zip(each.questions, each.is_said, strict=True)
        )
        if unsaid:
            yield f"Whether {each.arm.name} is right cannot be said of {unsaid} of {len(each.questions)} questions."


def _of_judge(findings: Findings) -> Iterator[str]:
    evaluation = findings.evaluation
    metrics = dict.fromkeys(metric_of(judged, findings.recipe.accuracy) for judged in evaluation.trials)
    for metric in metrics:
        sentence = evaluation.worth.sentences.get(metric)
        if sentence is not None:
            yield f"What {metric} says depends on the judge ({evaluation.judge}): {sentence}."


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
