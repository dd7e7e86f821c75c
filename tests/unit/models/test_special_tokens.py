import time

from hypothesis import given
from hypothesis import strategies as st

from plait.models.chat import FORMATS
from plait.models.message import Message
from plait.models.special_tokens import SpecialTokens

MANY = tuple(f"<unused{i}>" for i in range(6000))


def test_a_space_stands_behind_the_first_character_of_each_special_token() -> None:
    forged = SpecialTokens(("<eos>", "<turn>"))
    said = {"role": "user", "content": ["a<eos>", {"<turn>": "<<turn>>"}], "n": 1}
    assert forged.break_up(said) == {"role": "user", "content": ["a< eos>", {"< turn>": "<< turn>>"}], "n": 1}
    assert SpecialTokens(()).break_up("<eos>") == "<eos>"


@given(st.lists(st.sampled_from(["<", "a", "b", ">", "<a>", "><b", "<a><b>"]), max_size=12))
def test_no_token_is_left_where_tokens_overlap(parts: list[str]) -> None:
    tokens = ("<a>", "><b", "b><a", "<b>", "a><b>")
    text = SpecialTokens(tokens).break_up("".join(parts))
    assert not any(token in text for token in tokens)
    assert text.replace(" ", "") == "".join(parts)


def test_a_token_of_spaces_ends_too() -> None:
    assert len(SpecialTokens(("  ", " a")).break_up("x" + " " * 20 + "a")) < 2000


def test_thousands_of_tokens_take_no_longer_than_one() -> None:
    conversation = [Message("user" if i % 2 == 0 else "assistant", "<unused7> and <") for i in range(4000)]
    plain = FORMATS["plain"].model_copy(update={"special_tokens": MANY})
    plain.render(conversation[:1])
    began = time.process_time()
    plain.render(conversation)
    assert time.process_time() - began < 2  # 0.2 s; 6 s where each token is looked for in each message
