"""The rows that a run writes: of the eval set, of the training data, and of every fact with what became of it.

A row's `kind` is its group: the heading that figures are shown under. Its `group` is its document, as everywhere in
evaluation: questions about one document are not independent, and intervals take that into account.
"""

from collections.abc import Sequence
from typing import Any

from plait.questions.changes import Change, edited_passage
from plait.questions.fact import AskedFact, Fact, Group, TwoHops, Unanswerable

Row = dict[str, Any]


class EvalRows:
    """Makes rows of an eval set, as the documents read after all changes."""

    def __init__(self, changes: Sequence[Change]) -> None:
        self._changes: dict[str, list[Change]] = {}
        for change in changes:
            self._changes.setdefault(change.fact.source, []).append(change)

    def asked(self, group: Group, asked: AskedFact, distractors: Sequence[str]) -> Row:
        """A fact that is as it was."""
        return self._row(group, asked.question, asked.fact.value, [asked.fact], distractors)

    def changed(self, asked: AskedFact, change: Change, distractors: Sequence[str]) -> Row:
        """A fact that has changed; its old value is the likeliest mistake."""
        others = [value for value in distractors if value != change.value]
        return self._row(Group.CHANGED, asked.question, change.value, [asked.fact], [asked.fact.value, *others])

    def two_hops(self, hops: TwoHops) -> Row:
        """A question that takes two documents."""
        return self._row(Group.MULTI_HOP, hops.question, hops.answer, [hops.first, hops.second], [])

    def form(self, asked: AskedFact) -> Row:
        """A fact that was not taught, of whose reply only the form counts."""
        about = {"kind": Group.FORM.value, "group": asked.fact.source}
        return {"question": asked.question, **about, "pattern": asked.form, "facts": [asked.fact.fact_id]}

    def unanswerable(self, asked: Unanswerable) -> Row:
        """A question whose right reply is to decline."""
        about = {"kind": Group.UNANSWERABLE.value, "group": asked.passage.source}
        return {"question": asked.question, "answers": [], **about, "unanswerable": True}

    def _row(self, group: Group, question: str, answer: str, facts: Sequence[Fact], distractors: Sequence[str]) -> Row:
        passages = [{"text": edited_passage(fact, self._changes), "source": fact.source} for fact in facts]
        return {
            "question": question,
            "answers": [answer],
            "sources": list(dict.fromkeys(fact.source for fact in facts)),
            "kind": group.value,
            "group": facts[0].source,
            "unanswerable": False,
            "passages": passages,
            "distractors": list(distractors),
            "facts": [fact.fact_id for fact in facts],
        }


def training_rows(taught: Sequence[AskedFact]) -> list[Row]:
    """What `plait train` learns from: each fact in each of its wordings."""
    return [{"question": wording, "answer": each.reply} for each in taught for wording in each.training]


def retraining_rows(changed: Sequence[tuple[AskedFact, Change]]) -> list[Row]:
    """What an adapter is trained further on: each changed fact in the wordings that taught it, with its new value."""
    return [
        {"question": wording, "answer": each.reply_with(change.value)}
        for each, change in changed
        for wording in each.training
    ]


def fact_row(asked: AskedFact, group: Group, is_asked: bool, changed_to: str | None = None) -> Row:
    """A fact, where it stands, and what became of it. `is_asked`: the eval set has it."""
    fact = asked.fact
    return {
        "fact": fact.fact_id,
        "group": group.value,
        "entity": fact.entity,
        "attribute": "" if fact.attribute == asked.question else fact.attribute,
        "value": fact.value,
        "changed_to": changed_to,
        "source": fact.source,
        "start": fact.start,
        "end": fact.end,
        "chunk_id": fact.passage.chunk_id,
        "content_hash": fact.passage.content_hash,
        "question": asked.question if is_asked else None,
        "training": list(asked.training) if group in (Group.LEARNED, Group.CHANGED) else [],
    }
