"""What `plait compare` prints: every arm and kind, what it takes, the sentences, and what they do not tell."""

import io
import re

from made_findings import ANSWERS, made_findings, made_recipe
from rich.console import Console

from plait.jobs.compare.conclude import conclude
from plait.jobs.compare.console import shown
from plait.jobs.compare.findings import CHANGED, LEARNED
from plait.jobs.compare.verdict import Verdict


def printed(verdict: Verdict) -> str:
    console = Console(width=200, record=True, file=io.StringIO())
    console.print(shown(verdict))
    return console.export_text()


def cells(text: str) -> list[list[str]]:
    """The rows of all tables, of two lines the first, without what is empty."""
    rows = [re.split(r" {2,}", line.strip()) for line in text.splitlines() if re.match(r" \w", line)]
    return [row for row in rows if row[0] != "arm"]


def test_the_tables_and_texts_of_a_verdict() -> None:
    recipe = made_recipe(
        prices={"all": {"prompt": 1.0, "completion": 2.0}},
        hour_price=3.6,
        changed={"documents": "new/", "train": "new.jsonl"},
    )
    updated = {LEARNED: "1" * 14 + "0" * 6, CHANGED: "1" * 20}
    verdict = conclude(made_findings({**ANSWERS, "lora updated": updated}, recipe=recipe))
    text = printed(verdict)
    rows = cells(text)
    right = {row[0]: row[1:] for row in rows[:5]}
    assert right["rag/base"][1] == "90"
    assert len(right["lora updated"]) == 2  # it was not asked the others, and has no figure over all
    takes = {row[0]: row[1:] for row in rows[5:]}
    assert takes["rag/lora"] == ["100 ms", "220", "10", "0.24", "10 min", "0.63"]
    assert takes["base"][-1] == "0"
    flat = " ".join(text.split())
    for sentence in (*verdict.sentences, *verdict.untold, *verdict.caveats):
        assert sentence in flat


def test_one_kind_alone_and_no_prices_leave_out_their_columns() -> None:
    text = printed(conclude(made_findings({"base": {LEARNED: "0" * 9}, "rag/base": {LEARNED: "1" * 9}})))
    assert "cost of 1,000" not in text
    assert "cost before" not in text
    assert cells(text)[:2] == [["base", "0"], ["rag/base", "100"]]
