"""The lineage of an answer: the weights that gave it, and the passages that it was given from.

In: an answer that was kept, and the lineages of both. Out: a node. It looks nothing up.
"""

from collections.abc import Sequence

from plait.evaluation.live.answer import KeptAnswer, LivePassage
from plait.lineage.node import Fact, LineageNode, moment

_MOST_CHARACTERS = 200
_REFUSED = "none"
"""Who answered when nothing was found, and so nothing was generated."""


def is_refusal(answer: KeptAnswer) -> bool:
    """Whether no weights answered."""
    return answer.answered_by == _REFUSED


def passages_by_collection(answer: KeptAnswer) -> dict[str, list[LivePassage]]:
    """What was searched, with the passages found in each."""
    found: dict[str, list[LivePassage]] = {name: [] for name in answer.collections}
    for passage in answer.passages:
        found.setdefault(passage.collection or answer.collections[0], []).append(passage)
    return found


def answer_lineage(answer: KeptAnswer, weights: LineageNode | None, searched: Sequence[LineageNode]) -> LineageNode:
    """Put an answer above what it was made from. `weights`: None where the server refused by itself."""
    route = answer.route
    facts: dict[str, Fact] = {
        "model": answer.model,
        "answered_by": answer.answered_by,
        "answered_at": moment(answer.started_ms),
        "question": answer.question[:_MOST_CHARACTERS],
        "trace": answer.trace_id,
        **({} if route is None else {"arm": route.arm, "policy": route.policy, "chosen_because": route.reason}),
        **answer.said,
    }
    children = ((weights,) if weights is not None else ()) + tuple(searched)
    note = "Nothing was found, so no model was asked." if weights is None else ""
    return LineageNode("answer", answer.request_id, facts, note, children)
