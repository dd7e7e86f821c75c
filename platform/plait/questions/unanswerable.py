"""Questions that the documents do not answer, made without a model: about what they do not say of what they speak of.

In: facts. Out: questions about an attribute that other things have and this one lacks, then about attributes that no
document mentions. What a search finds for them must not speak of both, or they are dropped.
"""

import random
from collections.abc import Sequence

from plait.documents.chunk import Chunk
from plait.questions.corpus import Corpus
from plait.questions.duplicates import content_words
from plait.questions.fact import Fact, Unanswerable
from plait.questions.phrasings import Phrasings, subject_of

_NOBODY_SAYS = ("mascot", "annual budget", "opening hours", "postal address", "number of employees", "logo colour")
"""Attributes that hardly any document has; those whose words one has are left out."""
_FEWEST = 2
"""Things that have an attribute, before another one lacks it."""


def unanswerable_questions(
    facts: Sequence[Fact], corpus: Corpus, phrasings: Phrasings, count: int, seed: int
) -> list[Unanswerable]:
    """Questions in a random order, those about attributes that others have first; each thing is asked about once.

    They are worded as those that have an answer, so that their words alone do not tell. The others are of the same
    kind: they share an attribute with the one that is asked about.

    Args:
        count: questions about attributes that others have, at most.
    """
    random_ = random.Random(f"{seed} unanswerable")
    by_entity: dict[str, list[Fact]] = {}
    having: dict[str, set[str]] = {}
    for fact in facts:
        by_entity.setdefault(fact.entity, []).append(fact)
        having.setdefault(fact.attribute, set()).add(fact.entity)
    having.pop("", None)
    known = [name for name, things in sorted(having.items()) if len(things) >= _FEWEST and phrasings.of(name)]
    said = frozenset[str]().union(*corpus.words.values())
    unsaid = [attribute for attribute in _NOBODY_SAYS if not content_words(attribute) <= said]
    entities = list(by_entity)
    random_.shuffle(entities)
    first: list[Unanswerable] = []
    second: list[Unanswerable] = []
    for entity in entities:
        if len(first) == count:
            break
        own = by_entity[entity]
        kin = set[str]().union(*(having.get(fact.attribute, ()) for fact in own))
        lacking = [name for name in known if not kin.isdisjoint(having[name]) and not _speaks_of(name, own, corpus)]
        for found, attributes in ((first, lacking), (second, unsaid)):
            attribute = random_.choice(attributes) if attributes else ""
            question = phrasings.question(attribute, entity, random_) if attribute else None
            if question is not None:
                found.append(Unanswerable(question, subject_of(attribute, entity), own[0].passage))
                break
    return [*first, *second]


def is_unanswered(asked: Unanswerable, found: Sequence[Chunk], corpus: Corpus) -> bool:
    """Whether no passage that a search finds has all content words of what is asked about."""
    words = content_words(asked.subject)
    return not any(words <= corpus.words[passage.chunk_id] for passage in found)


def _speaks_of(attribute: str, facts: Sequence[Fact], corpus: Corpus) -> bool:
    """Whether a thing has the attribute, or the documents about it have all of its words."""
    if any(fact.attribute.lower() == attribute.lower() for fact in facts):
        return True
    wanted = content_words(attribute)
    about = (passage for source in {fact.source for fact in facts} for passage in corpus.by_source[source])
    return any(wanted <= corpus.words[passage.chunk_id] for passage in about)
