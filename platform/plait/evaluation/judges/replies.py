"""What a reply's words alone tell: whether it declines to answer, and whether it is a bare name or number.

English only. A judge that is a model reads other refusals in its own way.
"""

import re

from plait.evaluation.judges.judge import Verdict
from plait.evaluation.sentences import sentences

_APOSTROPHE = re.compile("[’ʼ`]")
_SPEAKER = (
    r"(?:i|we|(?:the|these|those|this|your|my|provided|given|retrieved)\s+(?:[\w-]+\s+){0,2}?"
    r"(?:passages?|documents?|contexts?|texts?|sources?|information|excerpts?|materials?))"
)
_CANNOT = r"(?:can\s?not|can't|could not|couldn't|am unable to|are unable to|am not able to|are not able to)"
_DO_NOT = r"(?:do not|don't|does not|doesn't|did not|didn't)"
_DECLINES = re.compile(
    rf"\b{_SPEAKER}\s+{_DO_NOT}\s+(?:\w+ly\s+)?(?:know|have|contain|mention|say|specify|state|provide|include|answer|give)\b"
    rf"|\b{_SPEAKER}\s+(?:{_CANNOT})\s+(?:\w+ly\s+)?(?:answer|find|say|tell|determine|provide|help|know|confirm)\b"
    rf"|\b(?:i'm|i am)\s+(?:not sure|unsure|unable|not aware)\b"
    rf"|\b(?:i'm|i am)\s+(?:\w+\s+)?(?:sorry|afraid)\b"
    rf"|\b(?:not enough|insufficient|no(?: relevant)?) information\b"
    rf"|\b(?:is|are|was|were) not (?:mentioned|specified|stated|given|provided|found|available|answered|covered)\b"
    rf"|\bcan(?:not|'t) be (?:answered|determined|found|known)\b"
    rf"|^\W*(?:unknown|unanswerable|no answer|not known|n/a)\W*$",
    re.IGNORECASE,
)
REFUSALS = (
    "I don't know.",
    "The passages do not contain the answer.",
    "I cannot answer this question from the given documents.",
    "There is not enough information to answer.",
    "I'm sorry, but I could not find that.",
)
"""Refusals for judges that compare meanings."""
_WORDS_OF_A_NAME = 5
_CITATION = re.compile(r"\s*(?:\[\s*\d+(?:\s*,\s*\d+)*\s*\]|【[^】]*】)")


def is_refusal(text: str) -> bool:
    """Whether a sentence says that its speaker cannot answer.

    >>> is_refusal("I don't know."), is_refusal("The library does not need a key.")
    (True, False)
    """
    return _DECLINES.search(_APOSTROPHE.sub("'", text)) is not None


def refuses(reply: str) -> Verdict:
    """Whether the first sentence of a reply declines to answer; an empty reply does not."""
    first = next((sentence.text for sentence in sentences(reply)), None)
    if first is None:
        return Verdict(False, "The reply is empty.")
    return Verdict(True, f"It says '{first}'") if is_refusal(first) else Verdict(False)


def without_citations(text: str) -> str:
    """A text without marks that cite, such as `[1]`.

    >>> without_citations("It is 2.60.0 [1, 2].")
    'It is 2.60.0.'
    """
    return _CITATION.sub("", text).strip()


def stated_sentences(reply: str) -> tuple[str, ...]:
    """The sentences of a reply that decline nothing: its claims, to judges that cannot take a sentence apart."""
    return tuple(each.text for each in sentences(without_citations(reply)) if not is_refusal(each.text))


def as_statement(question: str, reply: str) -> str | None:
    """An answer of a few words, as a name or a number, as a statement of its own; None for one that is longer.

    >>> as_statement("Which version of Ray?", "2.60.0")
    'The answer to "Which version of Ray?" is "2.60.0".'
    """
    said = without_citations(reply)
    if not said or len(said.split()) > _WORDS_OF_A_NAME or is_refusal(said):
        return None
    return f'The answer to "{question.strip()}" is "{said.rstrip(".")}".'
