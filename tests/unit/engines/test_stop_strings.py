"""Stop strings against a plain search of the text."""

from hypothesis import example, given
from hypothesis import strategies as st

from plait.engines.stop_strings import StopStrings


@given(st.text("abc", max_size=30), st.lists(st.text("abc", min_size=1, max_size=5), min_size=1, max_size=6))
@example("abcd", ["bc", "abcd"])
@example("aaab", ["aab", "aaaa"])
def test_at_each_character_what_may_begin_and_what_ends_is_known(text: str, stops: list[str]) -> None:
    strings = StopStrings(stops)
    state = 0
    for end in range(1, len(text) + 1):
        state = strings.step(state, text[end - 1])
        begun = [n for n in range(end + 1) if any(stop.startswith(text[end - n : end]) for stop in stops)]
        ended = [len(stop) for stop in stops if text[:end].endswith(stop)]
        assert strings.depth[state] == max(begun)
        assert strings.matched[state] == max(ended, default=0)


def test_there_may_be_none() -> None:
    assert not StopStrings([])
    assert StopStrings(["x"])
