"""The judge `lexical`: words in common. It needs no model, and is the default.

It compares content words, and is strict where words alone mislead: numbers, versions and names must be the passage's,
and a negation must stand on both sides or on none. It knows no synonyms, and takes a sentence for a claim.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from plait.evaluation.answers import is_correct, tokens
from plait.evaluation.judges.judge import Claims, Verdict, Verdicts
from plait.evaluation.judges.replies import refuses, stated_sentences
from plait.evaluation.score import JudgeUse
from plait.evaluation.sentences import sentences

_SUPPORTED = 0.7
"""Share of a claim's content words that a passage must have: three in ten may be the reply's own."""
_ON_TOPIC = 0.5
"""Share of a question's content words that a reply must have."""
_COMPARABLE_WORDS = 4
"""A reply of fewer content words, as a name or a number, need not repeat any of the question's."""
_STEM = 6
"""Words that begin with the same six letters count as one, as `release` and `released`; so do `need` and `needs`."""
FUNCTION_WORDS = frozenset(
    tokens("""
    a an and are as at be been being but by can could did do does for from had has have he her his how i if in into is
    it its may me might must my of on or our shall she should so such than that the their them then there these they
    this those to was we were what when where which while who whom whose why will with would you your
    """)
)
_NEGATION = re.compile(r"\b(?:not|no|never|none|neither|nor|cannot|without)\b|n['’]t\b", re.IGNORECASE)
_NAME = re.compile(r"(?<=[\w,;:)] )[A-Z]\w*(?:[.+-]\w+)*")


class LexicalJudge:
    """Judges by content words in common, as K-Precision does (Adlakha et al. 2023, arXiv:2307.16877)."""

    name = "lexical"

    async def claims(self, question: str, reply: str) -> Claims:
        """The sentences of a reply that decline nothing."""
        return Claims(stated_sentences(reply), JudgeUse())

    async def support(self, claims: Sequence[str], passages: Sequence[str]) -> Verdicts:
        """A claim holds where one passage has seven tenths of its words, its numbers, its names, and its negation."""
        read = [_Read.of(passage) for passage in passages]
        return Verdicts(tuple(_support(claim, read) for claim in claims), JudgeUse())

    async def useful(self, question: str, answers: Sequence[str], passages: Sequence[str]) -> Verdicts:
        """A passage is useful where an answer stands in it, or follows from it, and it has a word of the question."""
        asked = _stems(question)
        return Verdicts(tuple(_useful(asked, answers, passage) for passage in passages), JudgeUse())

    async def answers_the_question(self, question: str, reply: str) -> Verdicts:
        """A reply answers where it has half of the question's words; of a very short one that cannot be said."""
        return Verdicts((_answers(question, reply),), JudgeUse())

    async def declines(self, question: str, reply: str) -> Verdicts:
        """A reply declines where its first sentence does, in one of the usual phrases."""
        return Verdicts((refuses(reply),), JudgeUse())


@dataclass(frozen=True)
class _Read:
    """A passage as words."""

    tokens: frozenset[str]
    stems: frozenset[str]
    sentences: tuple[tuple[frozenset[str], bool], ...]
    """Stems of each sentence, and whether it negates."""

    @classmethod
    def of(cls, passage: str) -> "_Read":
        parts = tuple((_stems(each.text), _negates(each.text)) for each in sentences(passage))
        return cls(frozenset(tokens(passage)), _stems(passage), parts)


def _support(claim: str, passages: Sequence[_Read]) -> Verdict:
    words = _stems(claim)
    if not words:
        return Verdict(False, "The claim has no content words.")
    if not passages:
        return Verdict(False, "There are no passages.")
    exact = _exact(claim)
    verdicts = [_support_of_one(claim, words, exact, number, passage) for number, passage in enumerate(passages)]
    shares = [len(words & passage.stems) / len(words) for passage in passages]
    return max(zip(verdicts, shares, strict=True), key=lambda each: (bool(each[0].holds), each[1]))[0]


def _support_of_one(claim: str, words: frozenset[str], exact: set[str], number: int, passage: _Read) -> Verdict:
    missing = sorted(exact - passage.tokens)
    ordinary = words - _as_stems(exact)
    has_ordinary = len(ordinary & passage.stems) >= _SUPPORTED * len(ordinary)
    if missing:
        says_otherwise = bool(ordinary) and has_ordinary and any(any(map(str.isdigit, token)) for token in missing)
        return Verdict(False, f"The passage does not have {', '.join(missing)}.", number, says_otherwise)
    if len(words & passage.stems) < _SUPPORTED * len(words):
        lacking = ", ".join(sorted(words - passage.stems))
        return Verdict(False, f"The passage has too few of the claim's words; not: {lacking}.", number)
    nearest = max(passage.sentences, key=lambda each: len(words & each[0]), default=None)
    if nearest is not None and nearest[1] != _negates(claim):
        return Verdict(False, "One of claim and passage negates, the other does not.", number, True)
    return Verdict(True, "", number)


def _useful(asked: frozenset[str], answers: Sequence[str], passage: str) -> Verdict:
    read = _Read.of(passage)
    if asked and not asked & read.stems:
        return Verdict(False, "The passage has no word of the question.")
    has = any(is_correct(passage, answer) or _support(answer, [read]).holds for answer in answers)
    return Verdict(has, "" if has else "The passage does not have the answer.")


def _answers(question: str, reply: str) -> Verdict:
    given = _stems(reply)
    if not given:
        return Verdict(False, "The reply is empty.")
    if refuses(reply).holds:
        return Verdict(False, "The reply declines to answer.")
    asked = _stems(question)
    if asked and len(asked & given) >= _ON_TOPIC * len(asked):
        return Verdict(True)
    if len(given) < _COMPARABLE_WORDS or not asked:
        return Verdict(None, "The reply is too short to compare its words with the question's.")
    return Verdict(False, f"The reply has {len(asked & given)} of the {len(asked)} content words of the question.")


def _stems(text: str) -> frozenset[str]:
    """Content words, by their first letters; numbers and versions whole."""
    return _as_stems(token for token in tokens(text) if token not in FUNCTION_WORDS and not _NEGATION.fullmatch(token))


def _as_stems(words: Iterable[str]) -> frozenset[str]:
    return frozenset(word if any(map(str.isdigit, word)) else word.rstrip("s")[:_STEM] or word for word in words)


def _exact(claim: str) -> set[str]:
    """What must stand in a passage as it is: whatever has a digit, and names within a sentence."""
    names = {token for name in _NAME.findall(claim) for token in tokens(name)} - FUNCTION_WORDS
    return names | {token for token in tokens(claim) if any(map(str.isdigit, token))}


def _negates(text: str) -> bool:
    return _NEGATION.search(text) is not None
