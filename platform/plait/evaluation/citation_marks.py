"""Citations that a reply has in its text: `[1]` after what the first passage says, as models write them.

In: a reply, and how many passages it was given. Out: which words name which passage. It does not know whether they are
right.
"""

import re

from plait.evaluation.sample import SampleCitation

_MARK = re.compile(r"\[(\d{1,3})\]")
_BEFORE = re.compile(r"(?:[.!?…]\s+|[。！？]|\n)")


def marked_citations(reply: str, passages: int) -> tuple[SampleCitation, ...]:
    """A citation a mark, from the beginning of the sentence that it ends to its own end.

    Numbers begin at 1; those of no passage are no citations.

    >>> marked_citations("It is red. It is 2 m long [1][2].", passages=2)
    (SampleCitation(start=11, end=29, passage=0), SampleCitation(start=11, end=32, passage=1))
    """
    found: list[SampleCitation] = []
    start = end = 0
    for mark in _MARK.finditer(reply):
        between = reply[end : mark.start()]
        if end == 0 or between.strip():  # marks that follow each other are about the same words
            sentences = list(_BEFORE.finditer(between.rstrip().rstrip(".!?…。！？")))
            start = end + (sentences[-1].end() if sentences else len(between) - len(between.lstrip(" .!?…。！？\n")))
        end = mark.end()
        number = int(mark[1])
        if 1 <= number <= passages:
            found.append(SampleCitation(start, end, number - 1))
    return tuple(found)
