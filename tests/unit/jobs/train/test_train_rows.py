"""Every format that people keep examples in means a conversation, a text or a preference; nothing else passes."""

from typing import Any

import pytest

from plait.documents.row_files import BadRow
from plait.jobs.train.objectives.dpo import DpoConfig, Preference
from plait.jobs.train.objectives.objective import objective_of
from plait.jobs.train.objectives.pretrain import PretrainConfig
from plait.jobs.train.objectives.sft import SftConfig
from plait.jobs.train.parse import parse_row
from plait.jobs.train.rows import Conversation, Text, row_of
from plait.models.message import Message

SFT, DPO, PRETRAIN = map(objective_of, (SftConfig(), DpoConfig(kind="dpo"), PretrainConfig(kind="pretrain")))
EVERYTHING = objective_of(SftConfig(loss_on="all"))
ASKED, SAID, WORSE = Message("user", "Q"), Message("assistant", "A"), Message("assistant", "B")
TALK = Conversation((ASKED, SAID))
USER, GOOD, BAD = ({"role": m.role, "content": m.content} for m in (ASKED, SAID, WORSE))
SYSTEM = {"role": "system", "content": "S"}


@pytest.mark.parametrize(
    "fields",
    [
        {"messages": [USER, GOOD]},
        {"question": "Q", "answer": "A"},
        {"prompt": "Q", "completion": "A"},
        {"prompt": [USER], "completion": [GOOD]},
        {"instruction": "Q", "output": "A"},
        {"instruction": "Q", "input": "", "output": "A"},
        {"conversations": [{"from": "human", "value": "Q"}, {"from": "gpt", "value": "A"}]},
        {"query": "Q", "response": "A"},
        {"instruction": "Q", "response": "A", "context": "", "category": "open_qa"},
        {"input": "Q", "output": "A"},
        {"prompt": "Q", "response": "A", "system": "", "history": [], "tools": "[]"},
        {"messages": '[{"role": "user", "content": "Q"}, {"role": "assistant", "content": "A"}]'},
        {"messages": [{"role": "human", "content": [{"type": "text", "text": "Q"}]}, {"from": "gpt", "value": "A"}]},
        {"question": "Q", "answer": "A", "id": 7, "tags": ["x"]},
        {"question": "Q", "answer": "A", "text": None, "messages": None},
    ],
    ids=lambda fields: "+".join(fields),
)
@pytest.mark.parametrize("objective", [SFT, PRETRAIN], ids=["sft", "pretrain"])
def test_every_form_of_a_question_and_its_answer_means_the_same(fields: dict[str, Any], objective: Any) -> None:
    assert parse_row(fields, objective).meaning == TALK


def test_the_input_of_an_instruction_follows_it() -> None:
    row = parse_row({"instruction": "Add.", "input": "1 2", "output": "3"}, SFT).meaning
    assert isinstance(row, Conversation)
    assert row.question == "Add.\n\n1 2"


@pytest.mark.parametrize(
    ("fields", "question", "unused"),
    [
        ({"instruction": "Add.", "input": "1 2", "output": "A", "prompt": "Add. 1 2 A"}, "Add.\n\n1 2", "prompt"),
        ({"question": "x", "prompt": "Q", "completion": "A"}, "Q", "question"),
        ({"query": "Q", "instruction": "x", "response": "A"}, "Q", "instruction"),
        ({"prompt": "Q + A", "instruction": "Q", "context": "", "response": "A"}, "Q", "prompt"),
        ({"prompt": "Q", "answer": "A"}, "Q", None),
    ],
)
def test_an_answer_follows_its_own_question(fields: dict[str, Any], question: str, unused: str | None) -> None:
    row = parse_row(fields, SFT)
    assert row.meaning == Conversation((Message("user", question), SAID))
    assert row.unused == ({unused} if unused else frozenset())


@pytest.mark.parametrize("weight", [1, 1.0, True, "1", "1.0", "True"])
def test_a_row_of_full_weight_is_learned(weight: Any) -> None:
    assert parse_row({"question": "Q", "answer": "A", "weight": weight, "train": weight}, SFT).meaning == TALK


def test_all_turns_are_kept_and_the_last_question_is_the_question() -> None:
    turns = [SYSTEM, {"role": "user", "content": "first"}, GOOD, USER, GOOD]
    row = parse_row({"messages": turns}, SFT).meaning
    assert isinstance(row, Conversation)
    assert [m.role for m in row.messages] == ["system", "user", "assistant", "user", "assistant"]
    assert row.question == "Q"


def test_text_is_text() -> None:
    assert [parse_row({"text": "T"}, objective).meaning for objective in (SFT, PRETRAIN)] == [Text("T")] * 2


def test_a_rendered_text_beside_a_conversation_counts_only_for_pretraining() -> None:
    fields = {"instruction": "Q", "output": "A", "text": "### Instruction: Q ### Response: A"}
    assert parse_row(fields, SFT).meaning == TALK
    assert parse_row(fields, PRETRAIN).meaning == Text(fields["text"])


@pytest.mark.parametrize(
    "fields",
    [
        {"prompt": "Q", "chosen": "A", "rejected": "B"},
        {"input": {"messages": [USER], "tools": []}, "preferred_output": [GOOD], "non_preferred_output": [BAD]},
        {"prompt": [USER], "chosen": [GOOD], "rejected": [BAD]},
        {"prompt": "Q", "chosen": [GOOD], "rejected": [BAD]},
        {"chosen": [USER, GOOD], "rejected": [USER, BAD]},
        {"prompt": "Q", "chosen": [USER, GOOD], "rejected": [USER, BAD]},
        {"prompt": [USER], "chosen": [USER, GOOD], "rejected": [USER, BAD]},
        {"question": "Q", "chosen": "A", "rejected": "B"},
        {"prompt": " Q\n", "messages": [USER, GOOD], "chosen": [USER, GOOD], "rejected": [USER, BAD]},
        {"instruction": "Q", "input": "", "chosen": GOOD, "rejected": BAD},
        {"conversations": [{"from": "human", "value": "Q"}], "chosen": {"from": "gpt", "value": "A"}, "rejected": "B"},
    ],
    ids=lambda fields: "+".join(f"{name}:{type(value).__name__}" for name, value in fields.items()),
)
def test_every_form_of_a_preference_means_the_same(fields: dict[str, Any]) -> None:
    assert parse_row(fields, DPO).meaning == Preference(TALK, Conversation((ASKED, WORSE)))


@pytest.mark.parametrize(
    ("fields", "objective", "complaint"),
    [
        ({}, SFT, "it needs 'messages', 'question' and 'answer'"),
        ({"question": "Q"}, SFT, "it needs 'messages', 'question' and 'answer'"),
        ({"question": "Q", "answer": ""}, SFT, "answer is empty"),
        ({"question": "Q", "answer": 7}, SFT, "answer is a number and must be a text"),
        ({"messages": []}, SFT, "must hold a user's and end with the assistant's"),
        ({"messages": [USER]}, SFT, "end with the assistant's"),
        ({"messages": [GOOD]}, SFT, "must hold a user's"),
        ({"messages": [{"role": "robot", "content": "x"}]}, SFT, "messages.0.role"),
        ({"messages": "hello"}, SFT, "messages is a text and must be a list"),
        ({"conversations": [{"from": "human"}]}, SFT, "conversations.0.content is missing"),
        ({"prompt": "Q", "chosen": "A", "rejected": "B"}, SFT, "is no example"),
        ({"text": ""}, PRETRAIN, "text is empty"),
        ({"text": "a \ud83d b"}, SFT, "text has half a character (position 2)"),
        (
            {"messages": [{"role": "user", "content": "\ud83d"}, GOOD]},
            SFT,
            "messages.0.content has half a character",
        ),
        ({"prompt": "\ud83d", "chosen": "A", "rejected": "B"}, DPO, "prompt has half a character"),
        ({"note": "x"}, PRETRAIN, "it needs 'text', or a conversation"),
        ({"question": "Q", "answer": "A"}, DPO, "it needs 'prompt', 'chosen' and 'rejected'"),
        ({"prompt": "Q", "chosen": "A"}, DPO, "it needs 'prompt', 'chosen' and 'rejected'"),
        ({"chosen": "A", "rejected": "B"}, DPO, "must hold a user's"),
        ({"prompt": "Q", "chosen": "A", "rejected": "A"}, DPO, "are the same"),
        ({"chosen": [USER, GOOD], "rejected": [SYSTEM, USER, BAD]}, DPO, "answer different prompts"),
    ],
)
def test_a_row_that_cannot_be_used_says_what_it_lacks(fields: dict[str, Any], objective: Any, complaint: str) -> None:
    with pytest.raises(BadRow) as caught:
        parse_row(fields, objective)
    assert complaint in str(caught.value)
    assert "\n" not in str(caught.value)


# ------------------------------------------------------------ nothing is dropped in silence


@pytest.mark.parametrize(
    "fields",
    [
        {"conversations": [{"from": "human", "value": "Q"}, {"from": "gpt", "value": "A"}]},
        {"instruction": "Q", "output": "A"},
        {"prompt": "Q", "completion": "A"},
        {"messages": [SYSTEM, USER, GOOD]},
    ],
    ids=lambda fields: "+".join(fields),
)
def test_a_system_column_is_the_system_message(fields: dict[str, Any]) -> None:
    expected = Conversation((Message("system", "S"), ASKED, SAID))
    assert parse_row(fields | {"system": "S"}, SFT).meaning == expected
    preference = parse_row({"prompt": "Q", "chosen": "A", "rejected": "B", "system": "S"}, DPO).meaning
    assert isinstance(preference, Preference)
    assert preference.chosen == expected


def test_alpacas_history_comes_before_the_question() -> None:
    row = parse_row({"instruction": "Q", "output": "A", "history": [["hi", "hello"]], "system": "S"}, SFT).meaning
    assert row == Conversation(
        (Message("system", "S"), Message("user", "hi"), Message("assistant", "hello"), ASKED, SAID)
    )


def test_dollys_context_follows_the_instruction() -> None:
    row = parse_row({"instruction": "Who?", "context": "Ada wrote it.", "response": "Ada."}, SFT).meaning
    assert isinstance(row, Conversation)
    assert row.question == "Who?\n\nAda wrote it."


@pytest.mark.parametrize("mark", [{"weight": 0}, {"train": False}, {"weight": 0, "train": True}])
def test_a_turn_without_weight_is_context_only(mark: dict[str, Any]) -> None:
    row = parse_row({"messages": [USER, GOOD | mark, USER, GOOD | {"weight": 1}]}, SFT).meaning
    assert isinstance(row, Conversation)
    assert (row.turns, row.learned_turns) == ([1, 3], [3])
    assert row.messages == TALK.messages * 2


def test_fields_that_mean_nothing_are_told() -> None:
    fields = {"messages": [USER | {"id": 1}, GOOD | {"lang": "en"}], "category": "x", "score": 0.5, "note": None}
    assert parse_row(fields, SFT).unused == {"messages.id", "messages.lang", "category", "score"}
    assert parse_row({"question": "Q", "answer": "A", "system": "S", "history": []}, SFT).unused == frozenset()
    assert parse_row({"prompt": "Q", "chosen": "A", "rejected": "B", "margin": 2}, DPO).unused == {"margin"}


@pytest.mark.parametrize(
    ("fields", "objective", "complaint"),
    [
        ({"messages": [USER, GOOD], "images": ["a.png"]}, SFT, "images is not supported"),
        ({"messages": [USER, GOOD], "history": [["a", "b"]]}, SFT, "history is not supported"),
        ({"question": "Q", "answer": "A", "chat_template_kwargs": {"x": 1}}, SFT, "chat_template_kwargs is not"),
        ({"prompt": "Q", "completion": "A", "label": False}, SFT, "label is False"),
        ({"question": "Q", "answer": "A", "weight": 0}, SFT, "weight is 0"),
        ({"question": "Q", "answer": "A", "weight": 0.3}, SFT, "weight is 0.3, and a row is learned whole or not"),
        ({"question": "Q", "answer": "A", "train": 0}, SFT, "train is 0"),
        ({"question": "Q", "answer": "A", "weight": "0"}, SFT, "weight is 0"),
        ({"question": "Q", "answer": "A", "train": "false"}, SFT, "train is false"),
        ({"text": "T", "weight": 0.3}, PRETRAIN, "weight is 0.3"),
        ({"prompt": "Z", "chosen": [USER, GOOD], "rejected": [USER, BAD]}, DPO, "'Z', which is asked beside it"),
        (
            {"prompt": "Q", "history": [["hi", "ho"]], "chosen": [USER, GOOD], "rejected": [USER, BAD]},
            DPO,
            "chosen is a whole conversation, and 'hi'",
        ),
        (
            {"prompt": [SYSTEM, USER], "chosen": [USER, GOOD], "rejected": [USER, BAD]},
            DPO,
            "'S', which is asked beside it",
        ),
        ({"question": "Q", "answer": "A", "system": 0}, SFT, "system is a number and must be a text"),
        ({"question": "Q", "answer": "A", "tools": False}, SFT, "tools is true or false and must be a list"),
        ({"text": "T", "image": "a.png"}, PRETRAIN, "image is not supported"),
        ({"messages": [SYSTEM, USER, GOOD], "system": "other"}, SFT, "two system messages"),
        ({"instruction": "Q", "output": "A", "history": ["a"]}, SFT, "history.0 is no pair"),
        ({"messages": [USER, GOOD | {"weight": 0.5}]}, SFT, "messages.1.weight is 0.5, not 0 or 1"),
        ({"messages": [USER | {"weight": 1}, GOOD]}, SFT, "only the assistant's turns are learned"),
        (
            {"messages": [USER | {"weight": 0}, GOOD]},
            objective_of(SftConfig(loss_on="all")),
            "every such turn is learned",
        ),
        ({"messages": [USER, GOOD | {"weight": 0}]}, SFT, "every turn of the assistant has weight 0"),
        ({"messages": [USER, GOOD | {"weight": 0}]}, PRETRAIN, "has weight 0; this objective learns every turn"),
        ({"prompt": [USER], "chosen": [GOOD | {"weight": 0}], "rejected": [BAD]}, DPO, "the answer has weight 0"),
    ],
)
def test_a_field_that_would_be_lost_is_named(fields: dict[str, Any], objective: Any, complaint: str) -> None:
    with pytest.raises(BadRow) as caught:
        parse_row(fields, objective)
    assert complaint in str(caught.value)


def test_a_conversation_written_as_a_row_means_itself() -> None:
    call = {"id": "1", "type": "function", "function": {"name": "look", "arguments": '{"at": "ü"}'}}
    fields = {
        "messages": [
            SYSTEM,
            USER,
            {"role": "assistant", "reasoning_content": "Hm.", "tool_calls": [call], "weight": 0},
            {"role": "tool", "tool_call_id": "1", "name": "look", "content": None},
            GOOD,
        ],
        "tools": [{"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}],
    }
    row = parse_row(fields, SFT).meaning
    assert isinstance(row, Conversation)
    assert row.unlearned == {0}
    assert parse_row(row_of(row), SFT).meaning == row
