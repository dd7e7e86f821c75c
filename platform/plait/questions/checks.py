"""Whether a model's fact can be used: its answer must stand in the passage, and its question by itself.

In: a written fact. Out: a `Fact` with the span of its value, or the name of the check that it fails.
"""

import re

from plait.evaluation.answers import is_correct, tokens
from plait.evaluation.judges.lexical import FUNCTION_WORDS
from plait.questions.fact import AskedFact, Fact
from plait.questions.places import places_of
from plait.questions.writer import WrittenFact

NOT_VERBATIM = "answer is not in the passage"
TOO_LONG = "answer is too long"
GIVEN_AWAY = "question has its answer"
NO_QUESTION = "question does not stand by itself"
CHECKS = (NOT_VERBATIM, TOO_LONG, GIVEN_AWAY, NO_QUESTION)

_MAX_ANSWER_WORDS = 12
_OF_ITS_PASSAGE = re.compile(
    r"\b(?:this|that|the|given|above|following)\s+(?:\w+\s+)?(?:passage|document|text|section|excerpt|context|paragraph)s?\b"
    r"|\b(?:according to|mentioned|described|stated)\b.*\b(?:passage|document|text|section|above|below)\b",
    re.IGNORECASE,
)


def stands_alone(question: str) -> bool:
    """Whether a question can be understood by who has not seen the passage."""
    says_what = any(word not in FUNCTION_WORDS for word in tokens(question))
    return says_what and not _OF_ITS_PASSAGE.search(question)


def names(question: str, entity: str) -> bool:
    """Whether a question has a word of what it is about: `What is read?` is about nothing that one could look for."""
    asked = question.lower()
    return any(word in asked for word in tokens(entity) if word not in FUNCTION_WORDS)


def checked(written: WrittenFact) -> AskedFact | str:
    """The fact, with its question as attribute; or the name of the check that it fails."""
    span = _span(written.passage.text, written.answer)
    if span is None:
        return NOT_VERBATIM
    if len(written.answer.split()) > _MAX_ANSWER_WORDS:
        return TOO_LONG
    if is_correct(written.question, written.answer):
        return GIVEN_AWAY
    if not stands_alone(written.question) or not names(written.question, written.entity):
        return NO_QUESTION
    start, end = (written.passage.start + place for place in span)
    value = " ".join(written.passage.text[slice(*span)].split())
    fact = Fact(written.entity, written.question, value, written.passage, start, end)
    return AskedFact(fact, written.question)


def _span(passage: str, answer: str) -> tuple[int, int] | None:
    """Where an answer stands in a passage first; None where it does not."""
    if not is_correct(passage, answer):
        return None
    bare = answer.strip(" \"'`.")
    # Marks around the whole are not of the answer; those around a word in it are, or one of a pair would be lost.
    places = places_of(answer.strip() if "`" in bare or '"' in bare else bare, passage) or places_of(bare, passage)
    return places[0] if places else None
