"""Neighbours: a passage together with the chunks before and after it, as one text.

In: passages and the chunks around them. Out: longer passages. How the chunks are found is the index's business.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from plait.documents.table_columns import columns_of, with_columns, without_columns
from plait.index.passage import Passage

# Between chunks lies white space, which the index does not keep. A wider gap is something else: text that was left out.
_WIDEST_GAP = 100


def expanded(passages: Sequence[Passage], around: Mapping[str, Sequence[Passage]]) -> list[Passage]:
    """The passages, each with the chunks around it; those that then share a chunk become one, in the place of the best.

    `text` has as many characters as the span from `start` to `end`: where chunks overlap the overlap stands once, and
    white space between them, which is not known, is line ends. `chunk` is the passage as it was.

    Args:
        passages: best first.
        around: by `chunk_id`, chunks of the same version of the document, in any order.
    """
    groups: list[dict[int, Passage]] = []  # by position
    for passage in passages:
        group = {passage.position: passage}
        group |= {chunk.position: chunk for chunk in around.get(passage.chunk_id, ()) if chunk.position not in group}
        group = _unbroken(group, passage.position)
        touched = [other for other in groups if _share_a_chunk(other, group)]
        groups = [other for other in groups if not any(other is one for one in touched)]
        for other in touched:
            group |= other
        groups.append(group)
    order = {passage.chunk_id: rank for rank, passage in enumerate(passages)}
    found = [(_best(group, order), group) for group in groups]
    return [_joined(best, group) for best, group in sorted(found, key=lambda pair: order[pair[0].chunk_id])]


def _share_a_chunk(one: Mapping[int, Passage], other: Mapping[int, Passage]) -> bool:
    ids = {chunk.chunk_id for chunk in one.values()}
    return any(chunk.chunk_id in ids for chunk in other.values())


def _best(group: Mapping[int, Passage], order: Mapping[str, int]) -> Passage:
    return min((chunk for chunk in group.values() if chunk.chunk_id in order), key=lambda c: order[c.chunk_id])


def _unbroken(group: Mapping[int, Passage], position: int) -> dict[int, Passage]:
    """The chunks that follow each other without a gap, from those before `position` to those after it."""
    run = {position: group[position]}
    for step in (-1, 1):
        at = position
        while (following := group.get(at + step)) is not None:
            first, second = (run[at], following) if step > 0 else (following, run[at])
            if second.start - first.end > _WIDEST_GAP:
                break
            at += step
            run[at] = following
    return run


def _joined(best: Passage, group: Mapping[int, Passage]) -> Passage:
    if len(group) == 1:
        return best
    chunks = [group[position] for position in sorted(group)]
    text = chunks[0].text
    end = chunks[0].end
    for chunk in chunks[1:]:
        text += "\n" * max(0, chunk.start - end) + chunk.text[max(0, end - chunk.start) :]
        end = max(end, chunk.end)
    heading = with_columns(without_columns(best.heading), columns_of(chunks[0].heading))
    return replace(best, heading=heading, text=text, start=chunks[0].start, end=end, chunk=best)
