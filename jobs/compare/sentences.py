"""The verdict in two sentences, for somebody who reads nothing else: what to do for which questions, and what it takes.

Nothing is said to be better that is not surely so; what may be chance is a tie, and the number of questions that would
settle it stands beside it.
"""

from collections.abc import Mapping, Sequence

from plait.jobs.compare.arms import Arm
from plait.jobs.compare.cost_scale import tokens_of
from plait.jobs.compare.findings import CHANGED, FORM, HELD_OUT, LEARNED, MULTI_HOP, UNANSWERABLE
from plait.jobs.compare.lessons import Lesson, Taught, lesson_of, mean_accuracy, taught
from plait.jobs.compare.limits import FORGETTING
from plait.jobs.compare.verdict import ArmVerdict, BreakEven, Freshness, KindVerdict
from plait.jobs.evaluate.costs import as_money

_ABOUT: Mapping[str, str] = {
    LEARNED: "facts of the training data",
    HELD_OUT: "facts that nobody was trained on",
    CHANGED: "facts that changed after training",
    UNANSWERABLE: "questions without an answer",
    MULTI_HOP: "questions across two documents",
    FORM: "the form of the reply",
}


def first_sentence(
    overall: KindVerdict, kinds: Sequence[KindVerdict], arms: Sequence[Arm], verdicts: Sequence[ArmVerdict]
) -> str:
    """What to do for which questions; or how many more questions it takes to say so."""
    by_name = {arm.name: arm for arm in arms}
    accuracy = {
        verdict.arm: {
            kind: found.value
            for kind, found in {"": verdict.accuracy, **verdict.by_kind}.items()
            if found.value is not None and not (kind == "" and by_name[verdict.arm].is_updated)
        }
        for verdict in verdicts
    }
    lessons = taught(kinds, by_name, accuracy)
    told = [each for each in lessons if each.lesson.names_arms]
    ties, nothing = (
        [kind for each in lessons if each.lesson == lesson for kind in each.kinds]
        for lesson in (Lesson.TIE, Lesson.NOTHING)
    )
    (over_all,) = taught([overall], by_name, accuracy)
    if over_all.lesson == Lesson.NOTHING and not told + ties:
        return f"No arm is right on any of {overall.questions} questions."
    rest = f"{_tied(ties)}{_at_nothing(nothing)}"
    if not told and not over_all.lesson.names_arms:
        return _nothing_told(overall, kinds)
    if over_all.lesson == Lesson.BOTH and any(each.lesson != Lesson.BOTH for each in told):
        reasons = ", and ".join(_reason(each, accuracy) for each in told)
        return f"{_advice(over_all)}{_figures(over_all, accuracy)}: {reasons}{rest}."
    if not told:
        together = ", as all questions together show" if kinds else ""
        return f"{_advice(over_all)}{together}{_figures(over_all, accuracy)}{rest}."
    if len(told) == 1 and not rest:
        return f"{_advice(told[0])}, whatever is asked{_figures(told[0], accuracy)}."
    parts = [f"{_advice(each)} for {_abouts(each.kinds)}{_figures(each, accuracy)}" for each in told]
    others = "".join(f", and {part[0].lower()}{part[1:]}" for part in parts[1:])
    return f"{parts[0]}{others}{rest}."


def second_sentence(
    overall: KindVerdict,
    kinds: Sequence[KindVerdict],
    arms: Sequence[Arm],
    verdicts: Sequence[ArmVerdict],
    break_even: Sequence[BreakEven],
    freshness: Freshness | None,
) -> str:
    """Which one arm to use for everything, and what it takes: money or tokens, training, age, forgetting."""
    if overall.recommended is None:
        return "Read some of the answers before anything is chosen: the questions or what counts as right may not fit."
    chosen = next(verdict for verdict in verdicts if verdict.arm == overall.recommended)
    arm = next(arm for arm in arms if arm.name == chosen.arm)
    base = next((verdict for verdict in verdicts if verdict.arm == "base" and verdict is not chosen), None)
    takes = [
        *_takes(arm, chosen, base),
        *_pays(chosen, break_even),
        *_ages(arm, freshness),
        *_forgets(chosen),
    ]
    is_open = not any(
        lesson_of([each for each in arms if each.name in kind.best]).names_arms for kind in (*kinds, overall)
    )
    return f"{_choice(overall, arm, is_open)}{': ' if takes else ''}{_joined(takes)}."


def _advice(lesson: Taught) -> str:
    return {
        Lesson.RETRIEVE: "Retrieve",
        Lesson.FINE_TUNE: "Fine-tune",
        Lesson.BOTH: "Both retrieve and fine-tune",
        Lesson.BASE: "Leave the model as it is",
        Lesson.EXAMPLES: "Put examples into the prompt",
        Lesson.ENDPOINT: f"Ask {lesson.arm}",
    }[lesson.lesson]


def _figures(lesson: Taught, accuracy: Mapping[str, Mapping[str, float]]) -> str:
    """As in " (rag/base 90% right, lora 10%)"."""
    mean = None if lesson.arm is None else mean_accuracy(lesson.arm, lesson.kinds, accuracy)
    if mean is None:
        return ""
    rival = None if lesson.rival is None else mean_accuracy(lesson.rival, lesson.kinds, accuracy)
    beside = "" if rival is None else f", {lesson.rival} {rival:.0%}"
    return f" ({lesson.arm} {mean:.0%} right{beside})"


def _reason(lesson: Taught, accuracy: Mapping[str, Mapping[str, float]]) -> str:
    means = {
        Lesson.RETRIEVE: "retrieval",
        Lesson.FINE_TUNE: "fine-tuning",
        Lesson.BOTH: "only the two together",
        Lesson.EXAMPLES: "examples in the prompt",
    }.get(lesson.lesson, lesson.arm)
    verb = "help" if lesson.lesson in (Lesson.BOTH, Lesson.EXAMPLES) else "helps"
    return f"{means} {verb} with {_abouts(lesson.kinds)}{_figures(lesson, accuracy)}"


def _tied(ties: Sequence[KindVerdict]) -> str:
    """As in "; for the form of the reply it is a tie, which 40 more questions would settle"."""
    if not ties:
        return ""
    needed = [kind.needed for kind in ties]
    more = sum(number or 0 for number in needed)
    settle = "" if None in needed else f", which {_more(more)} of {'it' if len(ties) == 1 else 'them'} would settle"
    return f"; for {_abouts(ties)} it is a tie{settle}"


def _at_nothing(kinds: Sequence[KindVerdict]) -> str:
    """As in "; no arm is right on questions without an answer"."""
    return f"; no arm is right on {_abouts(kinds)}" if kinds else ""


def _nothing_told(overall: KindVerdict, kinds: Sequence[KindVerdict]) -> str:
    settles = [(kind.needed, kind) for kind in (*kinds, overall) if kind.needed is not None]
    if not settles:
        alike = f"no arm is surely better than all others on {overall.questions} questions"
        return f"A tie: {alike}, and more questions like these would hardly settle it."
    needed, kind = min(settles, key=lambda each: each[0])
    about = _about(kind)
    if not kind.kind:
        more = _more(needed)
    elif about.startswith("questions "):
        more = _more(needed) + about.removeprefix("questions")
    else:
        more = f"{_more(needed)} about {about}"
    return f"Not enough data: {more} would settle it."


def _choice(overall: KindVerdict, chosen: Arm, is_open: bool) -> str:
    """Whom to use for everything.

    Args:
        is_open: whether the arms are a tie at every kind and over all.
    """
    use = "keep base" if chosen.kind == "base" and not chosen.retrieves else f"use {chosen.name}"
    others = [name for name in overall.best if name != chosen.name]
    if not others:
        return f"{use[0].upper()}{use[1:]} for all questions"
    tie = f"which is in a tie with {_listed(others)}"
    start = "Until more is known" if is_open else "If one arm is to answer everything"
    return f"{start}, {use}, {tie}"


def _takes(arm: Arm, chosen: ArmVerdict, base: ArmVerdict | None) -> list[str]:
    parts = []
    tokens, of_base = tokens_of(chosen), None if base is None else tokens_of(base)
    if chosen.cost_of_1000 is not None:
        beside = "" if base is None or base.cost_of_1000 is None else f" (base {as_money(base.cost_of_1000)})"
        parts.append(f"1,000 answers cost {as_money(chosen.cost_of_1000)}{beside}")
    elif tokens is not None:
        parts.append(f"an answer takes {tokens:.0f} tokens{'' if of_base is None else f' (base {of_base:.0f})'}")
    if chosen.fixed_seconds:
        work = _listed([*(["training"] if arm.trained else []), *(["indexing"] if arm.retrieves else [])])
        money = f" ({as_money(chosen.fixed_cost)})" if chosen.fixed_cost else ""
        parts.append(f"{work} took {as_time(chosen.fixed_seconds)}{money}")
    return parts


def _pays(chosen: ArmVerdict, break_even: Sequence[BreakEven]) -> list[str]:
    found = next((each for each in break_even if each.dearer_before == chosen.arm), None)
    return [] if found is None else [f"from {found.answers:,} answers on it is cheaper than {found.cheaper_before}"]


def _ages(arm: Arm, freshness: Freshness | None) -> list[str]:
    if freshness is None:
        return []
    retrain = freshness.retrain_seconds.get(arm.trained)
    if arm.retrieves and freshness.reindex_seconds is not None:
        return [f"what changes is in its answers after {as_time(freshness.reindex_seconds)}"]
    if arm.trained and not arm.retrieves and retrain is not None:
        return [f"what changes takes {as_time(retrain)} of training again"]
    return []


def _forgets(chosen: ArmVerdict) -> list[str]:
    if chosen.perplexity is None or chosen.perplexity[1] <= FORGETTING * chosen.perplexity[0]:
        return []
    times = chosen.perplexity[1] / chosen.perplexity[0]
    return [f"but training made it forget (general text surprises it {times:.1f} times as much as before)"]


def as_time(seconds: float) -> str:
    """As in 12 s, 10 min or 2.5 h."""
    if seconds < 120:
        return f"{seconds:.0f} s" if seconds >= 1 else f"{seconds:.1f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def _more(number: int) -> str:
    return f"{number:,} more question{'' if number == 1 else 's'}"


def _about(kind: KindVerdict) -> str:
    return _ABOUT.get(kind.kind, f"questions of the kind {kind.kind}")


def _abouts(kinds: Sequence[KindVerdict]) -> str:
    return _listed([_about(kind) for kind in kinds])


def _joined(clauses: Sequence[str]) -> str:
    """With "and" before the last, unless it says "but"."""
    if len(clauses) < 2 or clauses[-1].startswith("but "):
        return ", ".join(clauses)
    return f"{', '.join(clauses[:-1])}, and {clauses[-1]}"


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
