"""Many stop strings looked for at once, character by character (Aho and Corasick 1975, doi:10.1145/360825.360855).

In: strings, then the characters of a text. Out: at each character, how much of the text's end may begin a stop string,
and whether one ends there. The time is linear in the text, however many strings there are. Knows no tokens.
"""

from collections import deque
from collections.abc import Iterable


class StopStrings:
    """The automaton of some strings; a state is a number, and a text begins in the state 0.

    Attributes:
        depth: by state: length of the longest end of the text that a string begins with.
        matched: by state: length of the longest string that ends here; 0: none does.
    """

    def __init__(self, strings: Iterable[str]) -> None:
        self._next: list[dict[str, int]] = [{}]
        self._fallback = [0]
        self.depth = [0]
        self.matched = [0]
        for string in strings:
            state = 0
            for character in string:
                state = self._next[state].get(character) or self._add(state, character)
            self.matched[state] = len(string)
        waiting = deque(self._next[0].values())
        while waiting:
            state = waiting.popleft()
            for character, child in self._next[state].items():
                waiting.append(child)
                self._fallback[child] = self.step(self._fallback[state], character)
                self.matched[child] = self.matched[child] or self.matched[self._fallback[child]]

    def __bool__(self) -> bool:
        """Whether there is a string to look for."""
        return len(self.depth) > 1

    def step(self, state: int, character: str) -> int:
        """The state after one more character."""
        while state and character not in self._next[state]:
            state = self._fallback[state]
        return self._next[state].get(character, 0)

    def _add(self, state: int, character: str) -> int:
        child = self._next[state][character] = len(self.depth)
        self._next.append({})
        self._fallback.append(0)
        self.depth.append(self.depth[state] + 1)
        self.matched.append(0)
        return child
