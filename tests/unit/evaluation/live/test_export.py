"""Rated answers become rows that the readers of eval sets and of training data take."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from evaluation.live.rated_answers import QUESTION, REPLY, rated

from plait.documents.row_source import find_rows
from plait.errors import DataError, InvalidInput
from plait.evaluation.eval_set import read_questions
from plait.evaluation.live.answer import RatedAnswer
from plait.evaluation.live.export import KIND, Exported, export_feedback, rows_of
from plait.jobs.train.fields import Fields
from plait.jobs.train.objectives.dpo import Dpo, DpoConfig
from plait.jobs.train.objectives.sft import Sft, SftConfig
from plait.jobs.train.rows import Conversation
from plait.models.message import Message

UP, DOWN = rated(1.0), rated(0.0)
CORRECTED = rated(0.0, "It is 2.61.0.")
TALK = rated(
    0.75,
    conversation=(
        Message("system", "Be brief."),
        Message("user", "Is ray installed?"),
        Message("assistant", "Yes."),
        Message("user", QUESTION),
    ),
    passages=(),
)
ALL = [UP, DOWN, CORRECTED, TALK]


def meanings(file: Path, parse: Callable[[Fields, set[str]], Any]) -> list[Any]:
    """What the reader of training data makes of each row of a file; every field of it must mean something."""
    source = find_rows(str(file))
    found = []
    for row in (row for part in source.parts for row in source.rows(part)):
        fields, unused = Fields(row.values()), set[str]()
        found.append(parse(fields, unused))
        assert not unused
        assert list(fields.unused()) == []
    return found


def test_an_eval_set_has_the_corrections_and_the_answers_that_were_good(tmp_path: Path) -> None:
    assert export_feedback(ALL, tmp_path / "eval.jsonl", "eval") == Exported(rows=3, rated=4)
    up, corrected, talk = read_questions(str(tmp_path / "eval.jsonl"))
    assert (up.question, up.answers, up.kind, up.sources) == (QUESTION, (REPLY,), KIND, ("ray.md",))
    assert [passage.source for passage in up.passages] == ["ray.md"]  # cats.md does not hold the answer
    assert (corrected.answers, corrected.passages) == (("It is 2.61.0.",), ())
    assert [message.role for message in talk.messages] == ["system", "user", "assistant", "user"]
    assert up.group == corrected.group == talk.group != ""  # one question, asked three times


def test_examples_for_fine_tuning_end_with_the_right_answer(tmp_path: Path) -> None:
    assert export_feedback(ALL, tmp_path / "sft.jsonl", "sft").rows == 3
    read: list[Conversation] = meanings(tmp_path / "sft.jsonl", Sft(SftConfig()).parse)
    assert [each.messages[-1].content for each in read] == [REPLY, "It is 2.61.0.", REPLY]
    assert [message.role for message in read[2].messages] == ["system", "user", "assistant", "user", "assistant"]


def test_preferences_have_the_correction_beside_what_it_corrects(tmp_path: Path) -> None:
    talk_corrected = rated(0.2, "No.", conversation=TALK.conversation)
    same = rated(0.0, REPLY)
    assert export_feedback([*ALL, talk_corrected, same], tmp_path / "dpo.jsonl", "dpo").rows == 2
    read = meanings(tmp_path / "dpo.jsonl", Dpo(DpoConfig(kind="dpo")).parse)
    assert [each.chosen.messages[-1].content for each in read] == ["It is 2.61.0.", "No."]
    assert {each.rejected.messages[-1].content for each in read} == {REPLY}
    assert [message.role for message in read[1].chosen.messages[:-1]] == ["system", "user", "assistant", "user"]


def test_a_conversation_with_tools_is_an_eval_row_without_them() -> None:
    used = rated(1.0, conversation=(Message("user", "Look."), Message("tool", "sunny"), Message("user", QUESTION)))
    (row,) = rows_of([used], "eval")
    assert [message["role"] for message in row["messages"]] == ["user", "user"]


@pytest.mark.parametrize(("answers", "use"), [([DOWN], "eval"), ([], "sft"), ([UP, DOWN], "dpo")])
def test_where_nothing_makes_a_row_no_file_is_written(tmp_path: Path, answers: list[RatedAnswer], use: Any) -> None:
    with pytest.raises(DataError, match=f"None of {len(answers)} rated answers makes a row for {use}. It needs a cor"):
        export_feedback(answers, tmp_path / "out.jsonl", use)
    assert not (tmp_path / "out.jsonl").exists()


def test_a_place_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"ends in \.jsonl"):
        export_feedback(ALL, tmp_path / "out.csv", "eval")
    with pytest.raises(InvalidInput, match="There is no folder"):
        export_feedback(ALL, tmp_path / "none" / "out.jsonl", "eval")


def test_rows_say_nothing_of_who_asked(tmp_path: Path) -> None:
    export_feedback(ALL, tmp_path / "eval.jsonl", "eval")
    for line in (tmp_path / "eval.jsonl").read_text().splitlines():
        assert json.loads(line).keys() <= {"question", "messages", "answers", "kind", "group", "passages", "sources"}
