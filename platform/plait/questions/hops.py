"""Questions that take two documents, by a thing that both speak of.

In: facts whose attributes are named. Out: pairs of facts of different documents, with a question and its only answer.
Two shapes: what one document names is what another is about (`the licence of the author's employer`), and two documents
that alone have a value in common (`what else has the same author`).
"""

import random
from collections import Counter, defaultdict
from collections.abc import Container, Iterator, Sequence

from plait.evaluation.answers import is_correct, tokens
from plait.questions.fact import GAP, Fact, TwoHops
from plait.questions.phrasings import Phrasings, subject_of

Key = tuple[str, ...]
_BUILT_IN = Phrasings({})
"""Own templates take a name, and hardly `the dependency of ray`."""


def chains(facts: Sequence[Fact]) -> Iterator[tuple[Fact, Fact]]:
    """Facts whose value is what a fact of another document is about.

    The value must be a name, and be that of one thing: what it is about stands in one document.
    """
    about: defaultdict[Key, list[Fact]] = defaultdict(list)
    for fact in facts:
        about[_key(fact.entity)].append(fact)
    for first in facts:
        seconds = about.get(_key(first.value), [])
        if first.value.isdigit() or len({second.source for second in seconds}) != 1:
            continue
        for second in seconds:
            takes_one = is_correct(first.passage.text, second.value) or is_correct(second.passage.text, first.entity)
            if second.source != first.source and not takes_one:
                yield first, second


def chained(facts: Sequence[Fact], usable: Container[str], seed: int) -> list[TwoHops]:
    """`What is the licence of the dependency of ray?`, of chains whose facts have attributes. English.

    Args:
        usable: ids of the facts that may be asked about; the first of a chain need not be.
    """
    found = []
    for first, second in chains([fact for fact in facts if fact.attribute]):
        if second.fact_id not in usable:
            continue
        if GAP in first.attribute and GAP in second.attribute:
            continue  # `what the things that it requires require` cannot be read
        random_ = random.Random(f"{seed} {first.fact_id} {second.fact_id}")
        question = _BUILT_IN.question(second.attribute, subject_of(first.attribute, first.entity), random_)
        if question is not None:
            found.append(TwoHops(first, second, question, second.value))
    return found


def in_common(facts: Sequence[Fact], usable: Container[str], values: Sequence[tuple[str, str]] = ()) -> list[TwoHops]:
    """`What else has the same author as ray?`, of values that exactly two documents have. English.

    Args:
        facts: all that documents say, so that a value that a third has is no pair's.
        usable: ids of those that may be asked about.
        values: attributes with values that other documents have, too: they have no part in a pair.
    """
    holding: defaultdict[tuple[str, Key], list[Fact]] = defaultdict(list)
    for fact in facts:
        if fact.attribute and GAP not in fact.attribute:
            holding[fact.attribute.lower(), _key(fact.value)].append(fact)
    taken = Counter((attribute.lower(), _key(value)) for attribute, value in values)
    found = []
    for which, pair in holding.items():
        entities = {_key(fact.entity) for fact in pair}
        if len(pair) != 2 or which in taken or len({fact.source for fact in pair}) != 2 or len(entities) != 2:
            continue
        first, second = pair
        if first.fact_id not in usable or second.fact_id not in usable:
            continue
        if is_correct(first.passage.text, second.entity):
            continue
        if first.value.casefold() != second.value.casefold():  # C and C++ have the same words
            continue
        question = f"What else has the same {first.attribute.lower()} as {first.entity}?"
        found.append(TwoHops(first, second, question, second.entity))
    return found


def _key(text: str) -> Key:
    return tuple(tokens(text))
