"""Questions that repeat another one, and questions that have more than one answer.

Two questions are the same where four fifths of their content words are; names and numbers count whole.
"""

from collections import defaultdict
from collections.abc import Sequence

from plait.evaluation.answers import tokens
from plait.evaluation.judges.lexical import FUNCTION_WORDS
from plait.questions.drops import Drops
from plait.questions.fact import AskedFact

_SAME = 0.8
"""Jaccard of content words. `the installed version of ray` and `of rich` have half of theirs in common."""


def content_words(text: str) -> frozenset[str]:
    """The words of a question that say what it asks."""
    said = tokens(text)
    return frozenset(word for word in said if word not in FUNCTION_WORDS) or frozenset(said)


def is_same(first: frozenset[str], second: frozenset[str]) -> bool:
    """Whether two questions, as content words, are nearly the same."""
    return len(first & second) >= _SAME * len(first | second)


def without_repeats(asked: Sequence[AskedFact], drops: Drops) -> list[AskedFact]:
    """Drop questions that repeat an earlier one with the same answer, then all that have several answers.

    The same question with another answer, as of two documents that have the same title, is asked of neither: whoever
    answers cannot know which is meant.
    """
    by_answer: defaultdict[tuple[str, ...], list[frozenset[str]]] = defaultdict(list)
    is_new = []
    for each in asked:
        words, earlier = content_words(each.question), by_answer[tuple(tokens(each.fact.value))]
        is_new.append(not any(is_same(words, other) for other in earlier))
        if is_new[-1]:
            earlier.append(words)
    once = drops.kept("repeats a question", asked, is_new)
    answers: defaultdict[frozenset[str], set[tuple[str, ...]]] = defaultdict(set)
    for each in once:
        answers[content_words(each.question)].add(tuple(tokens(each.fact.value)))
    return drops.kept("has several answers", once, lambda each: len(answers[content_words(each.question)]) == 1)


def unlike(wordings: Sequence[str], questions: Sequence[str]) -> list[str]:
    """Those of some wordings that are not, word by word, one of the questions or an earlier wording."""
    seen = {tuple(tokens(question)) for question in questions}
    found = []
    for wording in wordings:
        said = tuple(tokens(wording))
        if said and said not in seen:
            seen.add(said)
            found.append(wording)
    return found
