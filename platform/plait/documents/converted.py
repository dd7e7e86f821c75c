"""What a document's bytes become: text, and what a reader of the run should know about how it was read."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Note:
    """Something about a document that was read, as a clause that follows its name and a colon.

    `kind` names it in metrics: `encoding_guessed`, `bytes_replaced`, `hidden_sheets`,
    `formulas_without_value` or `pages_without_text`.
    """

    kind: str
    text: str


@dataclass(frozen=True)
class Converted:
    """The text of a document. `title`: the one that stands beside the text, as a web page has; empty without one."""

    text: str
    notes: tuple[Note, ...] = ()
    title: str = ""
