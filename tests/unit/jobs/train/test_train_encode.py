"""Rows become token ids cut as serving cuts them, with a loss where the objective wants one and nowhere else."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from plait.documents.row_files import BadRow
from plait.jobs.train.encode import Encoder, Example
from plait.jobs.train.loss import IGNORED
from plait.jobs.train.objectives.dpo import DpoConfig, Preference
from plait.jobs.train.objectives.objective import Objective, objective_of
from plait.jobs.train.objectives.pretrain import PretrainConfig
from plait.jobs.train.objectives.sft import SftConfig
from plait.jobs.train.rows import Conversation, Text
from plait.models.chat import ChatFormat, chat_format_for
from plait.models.message import Message
from plait.models.tokenizer import encode_prompt, load_tokenizer

TALK = Conversation((Message("user", "Which version?"), Message("assistant", "It is 2.60.0.")))
TWICE = Conversation(TALK.messages * 2)
PRETRAIN = PretrainConfig(kind="pretrain")


@pytest.fixture(scope="module")
def tokenizer(tiny_model: Path) -> Any:
    return load_tokenizer(tiny_model)


@pytest.fixture(scope="module")
def plain(tokenizer: Any) -> ChatFormat:
    return chat_format_for(tokenizer, "plain")


@dataclass(frozen=True)
class Encoding:
    """What an objective makes of rows."""

    objective: Objective
    encoder: Encoder

    def encode(self, meaning: Any) -> list[list[Example]]:
        return self.objective.encode(meaning, self.encoder)


def encoder(tokenizer: Any, plain: ChatFormat, objective: Any = None, max_tokens: int = 400) -> Encoding:
    return Encoding(objective_of(objective or SftConfig()), Encoder(tokenizer, plain, max_tokens))


def encoded(conversation: Conversation, chat_format: ChatFormat, tokenizer: Any) -> Example:
    """The only example of a conversation."""
    ((example,),) = encoder(tokenizer, chat_format, max_tokens=4000).encode(conversation)
    return example


def learned(example: Any) -> list[int]:
    return [token for token, label in zip(example.input_ids, example.labels, strict=True) if label != IGNORED]


def test_only_the_assistants_words_carry_a_loss(tokenizer: Any, plain: ChatFormat) -> None:
    ((example,),) = encoder(tokenizer, plain).encode(TALK)
    assert tokenizer.decode(learned(example)) == f" It is 2.60.0.{plain.eos_token}"


def test_with_loss_on_all_every_token_carries_one(tokenizer: Any, plain: ChatFormat) -> None:
    ((example,),) = encoder(tokenizer, plain, SftConfig(loss_on="all")).encode(TALK)
    assert example.labels == example.input_ids
    assert example.input_ids == encoded(TALK, plain, tokenizer).input_ids


def test_a_training_prompt_is_token_for_token_the_serving_prompt(tokenizer: Any, plain: ChatFormat) -> None:
    served = encode_prompt(tokenizer, plain.render(TALK.messages[:1]))
    trained = encoded(TALK, plain, tokenizer)
    assert trained.input_ids[: len(served)] == served
    assert trained.labels[: len(served)] == [IGNORED] * len(served)
    assert trained.labels[len(served)] != IGNORED


def test_every_turn_of_the_assistant_is_learned(tokenizer: Any, plain: ChatFormat) -> None:
    once, twice = (encoded(c, plain, tokenizer) for c in (TALK, TWICE))
    assert len(learned(twice)) == 2 * len(learned(once))
    assert tokenizer.decode(twice.input_ids).count("It is 2.60.0.") == 2


def test_a_turn_without_weight_is_seen_and_not_learned(tokenizer: Any, plain: ChatFormat) -> None:
    talk = Conversation(
        (*TALK.messages, Message("user", "Sure?"), Message("assistant", "Yes.")), unlearned=frozenset({0})
    )
    example = encoded(talk, plain, tokenizer)
    assert "It is 2.60.0." in tokenizer.decode(example.input_ids)
    assert tokenizer.decode(learned(example)) == f" Yes.{plain.eos_token}"
    ((everything,),) = encoder(tokenizer, plain, SftConfig(loss_on="all")).encode(talk)
    assert "2.60" not in tokenizer.decode(learned(everything))
    assert "Sure?" in tokenizer.decode(learned(everything))


def test_what_follows_the_last_learned_turn_is_left_out(tokenizer: Any, plain: ChatFormat) -> None:
    talk = Conversation(
        (*TALK.messages, Message("user", "Sure?"), Message("assistant", "No.")), unlearned=frozenset({1})
    )
    assert encoded(talk, plain, tokenizer) == encoded(TALK, plain, tokenizer)


def test_a_text_begins_and_ends_as_a_text_does_and_is_learned_whole(tokenizer: Any, plain: ChatFormat) -> None:
    ((example,),) = encoder(tokenizer, plain).encode(Text("the installed version"))
    assert example.input_ids[0] == tokenizer.bos_token_id
    assert example.input_ids[-1] == tokenizer.eos_token_id
    assert tokenizer.decode(example.input_ids[1:-1]) == "the installed version"
    assert example.labels == example.input_ids


def test_pretraining_cuts_a_long_text_into_windows_that_follow_each_other_and_begin_as_a_text_does(
    tokenizer: Any, plain: ChatFormat
) -> None:
    text = Text("".join(f"word {i} " for i in range(40)))
    ((whole,),) = encoder(tokenizer, plain, PRETRAIN, 4000).encode(text)
    windows = encoder(tokenizer, plain, PRETRAIN, 16).encode(text)
    assert all(len(window) == 1 for window in windows)
    assert {window.input_ids[0] for (window,) in windows} == {tokenizer.bos_token_id}
    assert [token for (window,) in windows for token in window.input_ids[1:]] == whole.input_ids[1:]
    assert [len(window.input_ids) for (window,) in windows[:-1]] == [16] * (len(windows) - 1)
    assert all(window.labels == window.input_ids for (window,) in windows)


def test_where_a_text_has_no_bos_its_windows_have_none_and_none_is_one_token(
    tokenizer: Any, plain: ChatFormat, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tokenizer, "encode", lambda text, add_special_tokens: list(range(10, 30)))
    assert tokenizer.bos_token_id not in range(10, 30)
    windows = encoder(tokenizer, plain, PRETRAIN, 10).encode(Text("words"))
    # The end of the text alone has nothing to predict.
    assert [window.input_ids for (window,) in windows] == [list(range(10, 20)), list(range(20, 30))]


def test_pretraining_reads_a_conversation_as_its_text(tokenizer: Any, plain: ChatFormat) -> None:
    ((example,),) = encoder(tokenizer, plain, PRETRAIN).encode(TALK)
    ((as_text,),) = encoder(tokenizer, plain, PRETRAIN).encode(Text(plain.render(TALK.messages, False)))
    assert example == as_text
    assert example.labels == example.input_ids
    assert example.input_ids.count(tokenizer.eos_token_id) == 1


def test_a_preference_is_a_pair_whose_answers_alone_are_judged(tokenizer: Any, plain: ChatFormat) -> None:
    asked = TWICE.messages[:-1]
    pair = Preference(
        Conversation((*asked, Message("assistant", "yes"))), Conversation((*asked, Message("assistant", "no")))
    )
    ((chosen, rejected),) = encoder(tokenizer, plain, DpoConfig(kind="dpo")).encode(pair)
    assert tokenizer.decode(learned(chosen)) == f" yes{plain.eos_token}"
    assert tokenizer.decode(learned(rejected)) == f" no{plain.eos_token}"


def test_an_example_that_is_too_long_says_how_long_it_is_and_what_to_change(tokenizer: Any, plain: ChatFormat) -> None:
    length = len(encoded(TALK, plain, tokenizer).input_ids)
    assert encoder(tokenizer, plain, max_tokens=length).encode(TALK)
    with pytest.raises(
        BadRow, match=rf"it takes {length} tokens, more than data\.max_tokens \({length - 1}\); shorten"
    ):
        encoder(tokenizer, plain, max_tokens=length - 1).encode(TALK)


def test_a_pair_must_fit_together(tokenizer: Any, plain: ChatFormat) -> None:
    pair = Preference(TALK, Conversation((TALK.messages[0], Message("assistant", "I do not know."))))
    ((chosen, rejected),) = encoder(tokenizer, plain, DpoConfig(kind="dpo")).encode(pair)
    longest = max(len(chosen.input_ids), len(rejected.input_ids))
    with pytest.raises(BadRow, match="preferred and rejected answer together take"):
        encoder(tokenizer, plain, DpoConfig(kind="dpo"), max_tokens=longest).encode(pair)
