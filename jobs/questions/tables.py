"""What a run prints: what each filter dropped, the questions of each group, and a sample to read."""

import random
from collections.abc import Iterator
from typing import TYPE_CHECKING

from plait.jobs.questions.files import eval_rows
from plait.jobs.questions.job import Made
from plait.questions.fact import Group

if TYPE_CHECKING:
    from rich.table import Table

_SHOWN = 20


def filters_table(made: Made) -> "Table":
    """A row a filter, in their order."""
    from rich.table import Table

    table = Table("filter", "seen", "dropped", "share")
    for each in made.questions.drops.filters:
        table.add_row(each.name, f"{each.seen:,}", f"{each.dropped:,}", f"{each.rate:.0%}" if each.seen else "")
    return table


def groups_table(made: Made) -> "Table":
    """A row a group: facts, questions of the eval set."""
    from rich.table import Table

    table = Table("group", "facts", "questions")
    facts = made.report["facts"]
    for group, count in made.questions.counts.items():
        table.add_row(group.value, f"{facts[group.value]:,}" if group.value in facts else "", f"{count:,}")
    return table


def sample_table(made: Made, seed: int) -> "Table":
    """Twenty questions of the eval set, to be read by who is to believe the figures."""
    from rich.markup import escape
    from rich.table import Table

    rows = eval_rows(made.questions)
    drawn = sorted(random.Random(f"{seed} sample").sample(range(len(rows)), min(_SHOWN, len(rows))))
    table = Table("group", "question", "answer", "documents")
    for row in (rows[place] for place in drawn):
        answer = row.get("pattern") or "; ".join(row["answers"]) or "(none)"
        documents = ", ".join(row.get("sources") or [])
        table.add_row(row["kind"], escape(row["question"]), escape(answer), escape(documents))
    return table


def notes(made: Made) -> Iterator[str]:
    """What else there is to know, a sentence each."""
    if made.use.calls:
        yield (
            f"The model was asked {made.use.calls:,} times, and read {made.use.prompt_tokens:,} and wrote "
            f"{made.use.generated_tokens:,} tokens."
        )
    if made.unread:
        yield f"{len(made.unread):,} replies could not be read; the first: {made.unread[0]}"
    unreadable = made.report["unreadable"]
    if unreadable:
        source, reason = next(iter(unreadable.items()))
        yield f"{len(unreadable):,} documents could not be read; the first: {source}: {reason}."
    empty = [group.value for group, count in made.questions.counts.items() if not count]
    if made.report["writer"]:
        empty.remove(Group.FORM)
        yield "A model words each reply in its own way, so there is no form to ask for: the group form is empty."
    if empty:
        yield f"Of no group {' or '.join(empty)} there is a question; the filters above say why, or their share is 0."
