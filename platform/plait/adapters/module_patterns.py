"""Which modules an adapter's configuration means, by PEFT's rules, in time that is linear in what is matched.

In: names, or regular expressions of a file that somebody else wrote. Out: whether a module is meant. Python's own
regular expressions take exponential time for some; RE2 does not, and knows no lookaround and no backreference.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import re2

_PATTERN_BYTES = 1 << 18
"""Memory of a compiled pattern: a few thousand characters of one; a configuration may hold thousands of patterns."""


class ModuleMatch(Protocol):
    """Says of a module's name (`model.layers.0.self_attn.q_proj`) whether it is meant."""

    def __call__(self, module: str) -> bool: ...


def compile_pattern(pattern: str) -> Any:
    """A pattern of RE2.

    Raises:
        ValueError: one line: why it is none.
    """
    options = re2.Options()
    options.log_errors, options.max_mem = False, _PATTERN_BYTES
    try:
        return re2.compile(pattern, options)
    except (re2.error, UnicodeError) as error:
        reason = error.args[0].decode(errors="replace") if isinstance(error.args[0], bytes) else str(error)
        shown = pattern if len(pattern) <= 80 else f"{pattern[:77]}..."
        raise ValueError(
            f"the pattern '{shown}' cannot be matched in linear time ({reason}); list the names of the modules instead"
        ) from None


def match_modules(modules: str | Sequence[str]) -> ModuleMatch:
    """What a list of names means (a module, or the end of its name), or a pattern for whole names.

    Raises:
        ValueError: for what is no pattern.
    """
    if isinstance(modules, str):
        pattern = compile_pattern(modules)
        return lambda module: pattern.fullmatch(module) is not None
    names = frozenset(modules)
    return lambda module: not names.isdisjoint(_ends(module))


def match_layers(patterns: Sequence[str], layers: frozenset[int]) -> ModuleMatch:
    """Modules of these layers; `patterns` say what stands before the layer's number (`layers`), anything if empty.

    Raises:
        ValueError: for what is no pattern.
    """
    for pattern in patterns:
        compile_pattern(pattern)  # alone: what is joined may be a pattern that its parts are not
    before = "|".join(f"(?:{pattern})" for pattern in patterns) or r"[^.]*"
    number = compile_pattern(rf"(?:.*?\.)?(?:{before})\.(?P<number_of_layer>\d+)\..*")

    def is_meant(module: str) -> bool:
        found = number.fullmatch(module)
        return found is not None and int(found.group("number_of_layer")) in layers

    return is_meant


class ValueByPattern:
    """PEFT's `rank_pattern` and `alpha_pattern`: the value of the first pattern that matches a name, or its end.

    Raises:
        ValueError: for what is no pattern.
    """

    def __init__(self, values: Mapping[str, float]) -> None:
        for pattern in values:
            compile_pattern(pattern)  # alone, as above
        self._values = [(compile_pattern(rf"(?:.*\.)?(?:{key})"), value) for key, value in values.items()]

    def get(self, module: str) -> float | None:
        """None: no pattern matches."""
        return next((value for pattern, value in self._values if pattern.fullmatch(module)), None)


def _ends(module: str) -> list[str]:
    """`a.b.c` gives `a.b.c`, `b.c` and `c`."""
    parts = module.split(".")
    return [".".join(parts[first:]) for first in range(len(parts))]
