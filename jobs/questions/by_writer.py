"""Questions that a model writes, and that it must answer from their passage, and not without it.

In: a corpus, a recipe, a search over the corpus, and a model. Out: a `QuestionSet`. Each filter counts what it drops.
"""

import random
from collections.abc import Callable, Coroutine, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace

from plait.documents.chunk import Chunk
from plait.evaluation.answers import is_correct
from plait.jobs.questions.question_set import QuestionSet, found_by_search, question_set
from plait.questions import checks
from plait.questions.changes import Swaps
from plait.questions.corpus import Corpus
from plait.questions.drops import Drops
from plait.questions.duplicates import unlike, without_repeats
from plait.questions.fact import AskedFact, Fact, Group, TwoHops, Unanswerable
from plait.questions.groups import assign, targets
from plait.questions.hops import chains
from plait.questions.search import PassageSearch
from plait.questions.writer import Writer, all_of
from plait.recipes import QuestionsRecipe

Shown = Callable[[str, int], AbstractContextManager[Callable[[], None]]]
"""Shows how far a step is: its title and how many there are."""
_SHORTEST_CHARS = 30
"""Of a passage that may state a fact."""
_ASKED_FOR_ONE = 4
"""Candidates of multi-hop and unanswerable questions that a model writes for each that is wanted; most are dropped."""


async def make_by_writer(
    corpus: Corpus, recipe: QuestionsRecipe, search: PassageSearch, writer: Writer, shown: Shown
) -> QuestionSet:
    """Questions that a model writes, each of which it must answer from its passage, and not without it.

    Raises:
        PlaitError: when the model cannot be asked at all; what it has said until then is kept by its cache.
    """
    drops = Drops()
    passages = _drawn(corpus.passages, recipe)
    with shown("find facts", len(passages)) as advance:
        calls = [writer.facts(passage, recipe.facts_a_passage) for passage in passages]
        written = [fact for facts in await all_of(calls, advance) for fact in facts]
    outcomes = [checks.checked(each) for each in written]
    for check in checks.CHECKS:
        failed = sum(outcome == check for outcome in outcomes)
        drops.note(check, len(outcomes), failed)
        outcomes = [outcome for outcome in outcomes if outcome != check]
    asked = [outcome for outcome in outcomes if isinstance(outcome, AskedFact)]
    asked = found_by_search(without_repeats(asked, drops), search, recipe, drops)
    asked = await _round_trip(asked, writer, drops, shown)
    shares = recipe.shares.model_copy(update={"form": 0.0})  # a model words each reply in its own way
    wanted = targets(recipe.count, shares)
    with shown("write other wordings", len(asked)) as advance:
        worded = await all_of([writer.wordings(each, recipe.phrasings) for each in asked], advance)
    worded = _with_found_wordings(worded, search, recipe, drops)
    swaps = Swaps(worded, recipe.seed)
    grouped = assign(worded, corpus, swaps, wanted[Group.CHANGED], shares, recipe.seed, recipe.taught)
    changed = {change.fact.fact_id for _, change in grouped.changed}
    still = [each.fact for each in worded if each.fact.fact_id not in changed]
    hops = await _two_hops(still, wanted[Group.MULTI_HOP], writer, recipe, drops, shown)
    unanswered = await _unanswerable(passages, wanted[Group.UNANSWERABLE], writer, search, recipe, drops, shown)
    return question_set(grouped, wanted, hops, unanswered, swaps, drops, lambda each: each.fact.source)


def _drawn(passages: Sequence[Chunk], recipe: QuestionsRecipe) -> list[Chunk]:
    """So many passages, in their order; those too short for a sentence are left out."""
    fitting = [place for place, passage in enumerate(passages) if len(passage.text.strip()) >= _SHORTEST_CHARS]
    random_ = random.Random(f"{recipe.seed} passages")
    drawn = random_.sample(fitting, min(recipe.passages, len(fitting)))
    return [passages[place] for place in sorted(drawn)]


async def _round_trip(asked: Sequence[AskedFact], writer: Writer, drops: Drops, shown: Shown) -> list[AskedFact]:
    """The questions that the model answers from their passage, and not from what it knows."""

    def answered(each: AskedFact, passages: Sequence[str]) -> Coroutine[None, None, bool]:
        return writer.is_answered(each.question, each.fact.value, passages)

    with shown("answer from the passage", len(asked)) as advance:
        with_passage = await all_of([answered(each, [each.fact.passage.text_to_embed]) for each in asked], advance)
    asked = drops.kept("not answered from its passage", asked, with_passage)
    with shown("answer without it", len(asked)) as advance:
        without = await all_of([answered(each, []) for each in asked], advance)
    return drops.kept("answered without its passage", asked, [not verdict for verdict in without])


def _with_found_wordings(
    worded: Sequence[AskedFact], search: PassageSearch, recipe: QuestionsRecipe, drops: Drops
) -> list[AskedFact]:
    """Facts with the wordings that stand by themselves, find their passage, and are no question of the eval set."""
    questions = [each.question for each in worded]
    own = [unlike([w for w in each.training if checks.stands_alone(w)], questions) for each in worded]
    pairs = [(each.fact, wording) for each, wordings in zip(worded, own, strict=True) for wording in wordings]
    found = iter(search.are_found([fact for fact, _ in pairs], [wording for _, wording in pairs], recipe.top_k))
    kept = [
        replace(each, training=tuple(wording for wording in wordings if next(found)))
        for each, wordings in zip(worded, own, strict=True)
    ]
    before, after = (sum(len(each.training) for each in facts) for facts in (worded, kept))
    drops.note("training wording: not usable", before, before - after)
    return kept


async def _two_hops(
    facts: Sequence[Fact], wanted: int, writer: Writer, recipe: QuestionsRecipe, drops: Drops, shown: Shown
) -> list[TwoHops]:
    """Questions that the model answers from both passages, and from neither alone."""
    pairs = list(chains(facts))
    random.Random(f"{recipe.seed} hops").shuffle(pairs)
    pairs = pairs[: _ASKED_FOR_ONE * wanted]
    with shown("join facts", len(pairs)) as advance:
        questions = await all_of([writer.bridge(*pair) for pair in pairs], advance)
    hops = [TwoHops(*pair, question, pair[1].value) for pair, question in zip(pairs, questions, strict=True)]
    hops = drops.kept("multi-hop: question is missing or names the bridge", hops, _hides_its_bridge)
    with shown("answer from two passages", len(hops)) as advance:
        verdicts = await all_of([_takes_both(each, writer) for each in hops], advance)
    return drops.kept("multi-hop: not answered from both, or from one", hops, verdicts)[:wanted]


def _hides_its_bridge(hops: TwoHops) -> bool:
    is_given = is_correct(hops.question, hops.first.value) or is_correct(hops.question, hops.answer)
    return checks.stands_alone(hops.question) and not is_given


async def _takes_both(hops: TwoHops, writer: Writer) -> bool:
    first, second = hops.first.passage.text_to_embed, hops.second.passage.text_to_embed
    if not await writer.is_answered(hops.question, hops.answer, [first, second]):
        return False
    return not await writer.is_answered(hops.question, hops.answer, [first]) and not await writer.is_answered(
        hops.question, hops.answer, [second]
    )


def _is_understood(asked: Unanswerable) -> bool:
    return checks.stands_alone(asked.question) and checks.names(asked.question, asked.subject)


async def _unanswerable(
    passages: Sequence[Chunk],
    wanted: int,
    writer: Writer,
    search: PassageSearch,
    recipe: QuestionsRecipe,
    drops: Drops,
    shown: Shown,
) -> list[Unanswerable]:
    """Questions that the model, asked from what a search finds for them, declines to answer."""
    random_ = random.Random(f"{recipe.seed} unanswerable")
    about = random_.sample(list(passages), min(_ASKED_FOR_ONE * wanted, len(passages)))
    with shown("write what is left open", len(about)) as advance:
        said = await all_of([writer.unanswered(each) for each in about], advance)
    written = [each for each in said if each is not None and _is_understood(each)]
    drops.note("unanswerable: no usable question", len(said), len(said) - len(written))
    found = search.find([each.question for each in written], recipe.top_k)
    with shown("try to answer them", len(written)) as advance:
        calls = [
            writer.declines(each.question, list({passage.text_to_embed: None for passage in (each.passage, *hits)}))
            for each, hits in zip(written, found, strict=True)
        ]
        verdicts = await all_of(calls, advance)
    return drops.kept("unanswerable: answered all the same", written, verdicts)[:wanted]
