"""All questions of a run, in the size that was asked for, and without training data that give the eval set away."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from plait.questions.changes import Change, Swaps
from plait.questions.drops import Drops
from plait.questions.duplicates import unlike
from plait.questions.fact import AskedFact, Group, TwoHops, Unanswerable
from plait.questions.groups import Grouped, by_turns, with_form
from plait.questions.search import PassageSearch
from plait.recipes import QuestionsRecipe


@dataclass(frozen=True)
class QuestionSet:
    """All questions of a run.

    Attributes:
        grouped: the facts that are asked about or taught.
        asked: of the facts, those that the eval set has, by group.
        distractors: wrong values that look right, by the id of a fact whose value the eval set asks for.
    """

    grouped: Grouped
    asked: Mapping[Group, Sequence[AskedFact]]
    hops: Sequence[TwoHops]
    unanswerable: Sequence[Unanswerable]
    distractors: Mapping[str, Sequence[str]]
    drops: Drops

    @property
    def changes(self) -> list[Change]:
        return [change for _, change in self.grouped.changed]

    @property
    def counts(self) -> dict[Group, int]:
        """Questions of the eval set by group."""
        others = {Group.UNANSWERABLE: len(self.unanswerable), Group.MULTI_HOP: len(self.hops)}
        return {group: others[group] if group in others else len(self.asked[group]) for group in Group}


def question_set(
    grouped: Grouped,
    wanted: Mapping[Group, int],
    hops: Sequence[TwoHops],
    unanswerable: Sequence[Unanswerable],
    swaps: Swaps,
    drops: Drops,
    turn_of: Callable[[AskedFact], str],
) -> QuestionSet:
    """The questions of a run.

    Args:
        wanted: questions of each group, at most.
        turn_of: facts of different turns alternate, so that the first so many show all of them.
    """
    held_out, of_form = _held_out(grouped, wanted, turn_of)
    asked = {
        Group.LEARNED: by_turns(grouped.learned, turn_of)[: wanted[Group.LEARNED]],
        Group.HELD_OUT: held_out,
        Group.CHANGED: [each for each, _ in grouped.changed],
        Group.FORM: of_form,
    }
    questions = [each.question for facts in asked.values() for each in facts]
    questions += [each.question for each in hops] + [each.question for each in unanswerable]

    def without_leaks(each: AskedFact) -> AskedFact:
        return replace(each, training=tuple(unlike(each.training, questions)))

    clean = Grouped(
        tuple(map(without_leaks, grouped.learned)),
        grouped.held_out,
        tuple((without_leaks(each), change) for each, change in grouped.changed),
    )
    with_answer = [each for group, facts in asked.items() if group != Group.FORM for each in facts]
    distractors = {each.fact.fact_id: swaps.distractors(each.fact) for each in with_answer}
    return QuestionSet(clean, asked, hops, unanswerable, distractors, drops)


def _held_out(
    grouped: Grouped, wanted: Mapping[Group, int], turn_of: Callable[[AskedFact], str]
) -> tuple[list[AskedFact], list[AskedFact]]:
    """The held-out facts that are asked about, and the others of whose replies the form counts.

    Where there are too few for both, each has its part.
    """
    facts, form = wanted[Group.HELD_OUT], wanted[Group.FORM]
    fitting = by_turns(with_form(grouped), turn_of)
    part = min(form, len(fitting), round(len(grouped.held_out) * form / max(1, facts + form)))
    of_form = fitting[:part]
    taken = {each.fact.fact_id for each in of_form}
    rest = [each for each in grouped.held_out if each.fact.fact_id not in taken]
    return by_turns(rest, turn_of)[:facts], of_form


def found_by_search(
    asked: Sequence[AskedFact], search: PassageSearch, recipe: QuestionsRecipe, drops: Drops
) -> list[AskedFact]:
    """The facts whose question finds their passage."""
    verdicts = search.are_found([each.fact for each in asked], [each.question for each in asked], recipe.top_k)
    return drops.kept(f"not among the first {recipe.top_k} of a search", asked, verdicts)
