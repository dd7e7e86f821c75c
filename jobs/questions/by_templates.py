"""Questions without a model: templates over what documents state in a form of their own.

In: a corpus, a recipe, and a search over the corpus. Out: a `QuestionSet`.
"""

import random

from plait.evaluation.answers import is_correct
from plait.jobs.questions.question_set import QuestionSet, found_by_search, question_set
from plait.questions.changes import Swaps
from plait.questions.checks import GIVEN_AWAY
from plait.questions.corpus import Corpus
from plait.questions.drops import Drops
from plait.questions.duplicates import without_repeats
from plait.questions.fact import Group
from plait.questions.groups import assign, by_turns, targets
from plait.questions.hops import chained, in_common
from plait.questions.phrasings import Phrasings
from plait.questions.search import PassageSearch
from plait.questions.structured import structured_facts
from plait.questions.unanswerable import is_unanswered, unanswerable_questions
from plait.recipes import QuestionsRecipe

_CANDIDATES = 3
"""Unanswerable questions for each that is wanted; some are dropped, because a passage speaks of both words."""
_LOOKED_AT = 4
"""Times `top_k` passages are looked at for what speaks of an unanswerable question."""


def make_by_templates(corpus: Corpus, recipe: QuestionsRecipe, search: PassageSearch) -> QuestionSet:
    """Questions about what documents state in a form of their own, without a model."""
    drops = Drops()
    phrasings = Phrasings(recipe.templates)
    stated, cut = structured_facts(corpus)
    drops.note("stands in two passages", len(stated) + cut, cut)
    everything = [fact for fact in stated if phrasings.of(fact.attribute) is not None]
    phrased = phrasings.phrase(everything, recipe.phrasings, recipe.seed)
    fair = drops.kept(GIVEN_AWAY, phrased, lambda each: not is_correct(each.question, each.fact.value))
    asked = found_by_search(without_repeats(fair, drops), search, recipe, drops)
    wanted = targets(recipe.count, recipe.shares)
    swaps = Swaps(asked, recipe.seed)
    grouped = assign(asked, corpus, swaps, wanted[Group.CHANGED], recipe.shares, recipe.seed, recipe.taught)
    changed = {change.fact.fact_id: change for _, change in grouped.changed}
    still = [fact for fact in stated if fact.fact_id not in changed]
    usable = {each.fact.fact_id for each in asked}
    new_values = [(change.fact.attribute, change.value) for change in changed.values()]
    pairs = chained(still, usable, recipe.seed)
    pairs += in_common(still, usable, new_values)
    random.Random(f"{recipe.seed} hops").shuffle(pairs)
    hops = by_turns(pairs, lambda each: (each.first.attribute, each.second.attribute))[: wanted[Group.MULTI_HOP]]
    candidates = _CANDIDATES * wanted[Group.UNANSWERABLE]
    open_questions = unanswerable_questions(stated, corpus, phrasings, candidates, recipe.seed)
    # What has all words of a question is found by words.
    found = search.by_words([each.question for each in open_questions], _LOOKED_AT * recipe.top_k)
    verdicts = [is_unanswered(each, passages, corpus) for each, passages in zip(open_questions, found, strict=True)]
    unanswered = drops.kept("unanswerable: a passage speaks of it", open_questions, verdicts)
    unanswered = unanswered[: wanted[Group.UNANSWERABLE]]
    # The attributes of own templates alternate; of all that documents have, most are of one thing alone.
    turn_of = (lambda each: each.fact.attribute) if recipe.templates else (lambda each: "")
    return question_set(grouped, wanted, hops, unanswered, swaps, drops, turn_of)
