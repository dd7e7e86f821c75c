"""Every format that people keep examples in means a conversation, a text or a preference; nothing else passes."""

from typing import Any

import pytest

from plait.jobs.train.rows import BadRow, Conversation, Preference, Text, parse_row
from plait.models.chat import Message
from plait.recipes import DpoConfig, PretrainConfig, SftConfig

SFT, DPO, PRETRAIN = SftConfig(), DpoConfig(kind="dpo"), PretrainConfig(kind="pretrain")
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
        {"question": "Q", "answer": "A", "id": 7, "tags": ["x"]},
        {"question": "Q", "answer": "A", "text": None, "messages": None},
    ],
    ids=lambda fields: "+".join(fields),
)
@pytest.mark.parametrize("objective", [SFT, PRETRAIN], ids=["sft", "pretrain"])
def test_every_form_of_a_question_and_its_answer_means_the_same(fields: dict[str, Any], objective: Any) -> None:
    assert parse_row(fields, objective) == TALK


def test_the_input_of_an_instruction_follows_it() -> None:
    row = parse_row({"instruction": "Add.", "input": "1 2", "output": "3"}, SFT)
    assert isinstance(row, Conversation)
    assert row.question == "Add.\n\n1 2"


def test_all_turns_are_kept_and_the_last_question_is_the_question() -> None:
    turns = [SYSTEM, {"role": "user", "content": "first"}, GOOD, USER, GOOD]
    row = parse_row({"messages": turns}, SFT)
    assert isinstance(row, Conversation)
    assert [m.role for m in row.messages] == ["system", "user", "assistant", "user", "assistant"]
    assert row.question == "Q"


def test_text_is_text() -> None:
    assert parse_row({"text": "T"}, SFT) == parse_row({"text": "T"}, PRETRAIN) == Text("T")


def test_a_rendered_text_beside_a_conversation_counts_only_for_pretraining() -> None:
    fields = {"instruction": "Q", "output": "A", "text": "### Instruction: Q ### Response: A"}
    assert parse_row(fields, SFT) == TALK
    assert parse_row(fields, PRETRAIN) == Text(fields["text"])


@pytest.mark.parametrize(
    "fields",
    [
        {"prompt": "Q", "chosen": "A", "rejected": "B"},
        {"prompt": [USER], "chosen": [GOOD], "rejected": [BAD]},
        {"prompt": "Q", "chosen": [GOOD], "rejected": [BAD]},
        {"chosen": [USER, GOOD], "rejected": [USER, BAD]},
        {"prompt": "Q", "chosen": [USER, GOOD], "rejected": [USER, BAD]},
        {"prompt": [USER], "chosen": [USER, GOOD], "rejected": [USER, BAD]},
    ],
    ids=["strings", "messages", "mixed", "whole", "whole-and-prompt", "whole-and-prompt-messages"],
)
def test_every_form_of_a_preference_means_the_same(fields: dict[str, Any]) -> None:
    assert parse_row(fields, DPO) == Preference(TALK, Conversation((ASKED, WORSE)))


@pytest.mark.parametrize(
    ("fields", "objective", "complaint"),
    [
        ({}, SFT, "it needs 'messages', 'question' and 'answer'"),
        ({"question": "Q"}, SFT, "it needs 'messages', 'question' and 'answer'"),
        ({"question": "Q", "answer": ""}, SFT, "answer: String should have at least 1 character"),
        ({"question": "Q", "answer": 7}, SFT, "answer: Input should be a valid string"),
        ({"messages": []}, SFT, "must hold a user's and end with the assistant's"),
        ({"messages": [USER]}, SFT, "end with the assistant's"),
        ({"messages": [GOOD]}, SFT, "must hold a user's"),
        ({"messages": [{"role": "robot", "content": "x"}]}, SFT, "messages.0.role"),
        ({"messages": "hello"}, SFT, "messages: Input should be a valid list"),
        ({"conversations": [{"from": "human"}]}, SFT, "conversations.0.value: Field required"),
        ({"prompt": "Q", "chosen": "A", "rejected": "B"}, SFT, "is no example"),
        ({"text": ""}, PRETRAIN, "text: String should have at least 1 character"),
        ({"text": "a \ud83d b"}, SFT, "text: Input should be a valid string, unable to parse"),
        (
            {"messages": [{"role": "user", "content": "\ud83d"}, GOOD]},
            SFT,
            "messages.0.content: Input should be a valid",
        ),
        ({"prompt": "\ud83d", "chosen": "A", "rejected": "B"}, DPO, "prompt: Input should be a valid string, unable"),
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
