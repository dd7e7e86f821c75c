"""Rated answers as data: rows of an eval set, examples for fine-tuning, and preferences.

In: answers with their ratings. Out: rows as the readers of eval sets and of training data take them, in a file of JSON
Lines. Nothing in a row says whose request it was.
"""

import asyncio
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal

from plait.errors import DataError, InvalidInput
from plait.evaluation.judges.lexical import LexicalJudge
from plait.evaluation.live.answer import RatedAnswer
from plait.evaluation.sample import SamplePassage
from plait.whole_files import write_whole

KIND = "feedback"
"""The heading that figures of these questions are shown under."""


Use = Literal["eval", "sft", "dpo"]
"""What rows are for. `eval`: a question with its right answer. `sft`: a conversation that ends with the right answer.
`dpo`: a conversation with a correction that is better than the reply."""


@dataclass(frozen=True)
class Exported:
    """How many rows were written, of how many rated answers."""

    rows: int
    rated: int


def export_feedback(rated: Iterable[RatedAnswer], out: Path, use: Use) -> Exported:
    """Write the rows that rated answers make; a file that was there is replaced.

    Raises:
        InvalidInput: when `out` is not named as JSON Lines, or its folder is not there.
        DataError: when no rated answer makes a row.
    """
    if out.suffix != ".jsonl":
        raise InvalidInput(f"'{out}' is not named as JSON Lines.", "Name a file that ends in .jsonl.")
    if not out.parent.is_dir():
        raise InvalidInput(f"There is no folder '{out.parent}'.", "Make it first.")
    answers = list(rated)
    rows = rows_of(answers, use)
    if not rows:
        need = "a correction" if use == "dpo" else "a correction, or a rating of 0.5 or more"
        raise DataError(
            f"None of {len(answers)} rated answers makes a row for {use}.", f"It needs {need}: POST /v1/feedback."
        )
    write_whole(out, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    return Exported(len(rows), len(answers))


def rows_of(rated: Sequence[RatedAnswer], use: Use) -> list[dict[str, Any]]:
    """The rows; a rated answer without a correction that is rated down makes none."""
    make = {"eval": _eval_row, "sft": _sft_row, "dpo": _dpo_row}[use]
    return [row for answer in rated if (row := make(answer)) is not None]


def _right_answer(answer: RatedAnswer) -> str:
    """What the answer should be, as far as people say; empty: they do not."""
    return answer.rating.correction or (answer.reply if answer.rating.is_up else "")


def _eval_row(answer: RatedAnswer) -> dict[str, Any] | None:
    right = _right_answer(answer)
    if not right:
        return None
    asked = [message for message in _messages(answer) if message["role"] in ("system", "user", "assistant")]
    row: dict[str, Any] = {"question": answer.question} if len(asked) == 1 else {"messages": asked}
    row |= {"answers": [right], "kind": KIND}
    # Many ask the same: what is known of one of these questions is known of all.
    row["group"] = sha256(answer.question.strip().lower().encode()).hexdigest()[:16]
    helpful = _helpful(answer, right)
    if helpful:
        row["passages"] = [{"text": passage.text, "source": passage.source} for passage in helpful]
        row["sources"] = list(dict.fromkeys(passage.source for passage in helpful if passage.source))
    return row


def _helpful(answer: RatedAnswer, right: str) -> list[SamplePassage]:
    """The passages of the prompt that hold the right answer, by their words: an eval set names no others."""
    texts = [passage.text for passage in answer.passages]
    said = asyncio.run(LexicalJudge().useful(answer.question, [right], texts))
    return [passage for passage, verdict in zip(answer.passages, said.verdicts, strict=True) if verdict.holds]


def _sft_row(answer: RatedAnswer) -> dict[str, Any] | None:
    right = _right_answer(answer)
    return {"messages": [*_messages(answer), {"role": "assistant", "content": right}]} if right else None


def _dpo_row(answer: RatedAnswer) -> dict[str, Any] | None:
    better = answer.rating.correction
    if not better or better == answer.reply:
        return None
    return {"prompt": _messages(answer), "chosen": better, "rejected": answer.reply}


def _messages(answer: RatedAnswer) -> list[dict[str, str]]:
    return [{"role": message.role, "content": message.content} for message in answer.conversation]
