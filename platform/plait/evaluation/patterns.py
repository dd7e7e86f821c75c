"""Whether a reply has a form, or a part of it has, as a regular expression of RE2.

Patterns come with eval sets, from anybody. RE2's time grows with the length of the reply alone, whatever the pattern,
and it refuses a pattern that would take much memory. It has no look-around and no references back. Arrow brings it.
"""

import pyarrow as pa
import pyarrow.compute as pc

_PREFIX = "Invalid regular expression: "


def checked_pattern(pattern: str) -> str:
    """The pattern, if it is one.

    Raises:
        ValueError: when it is no regular expression that RE2 reads, with the reason.
    """
    try:
        _is_in(pattern, "")
    except pa.ArrowInvalid as error:
        raise ValueError(f"is no regular expression (RE2): {str(error).removeprefix(_PREFIX)}") from None
    return pattern


def has_form(reply: str, pattern: str) -> bool:
    """Whether the whole reply matches, without the blanks around it; a dot is no end of a line.

    >>> has_form("The port of hub is 80.\\n", r"The port of .+ is .+\\."), has_form("It is 80.", "80")
    (True, False)
    """
    return _is_in(rf"\A(?:{pattern})\z", reply.strip())


def holds(reply: str, pattern: str) -> bool:
    """Whether a part of the reply matches.

    >>> holds("It is 80.", "[0-9]+"), holds("It is open.", "[0-9]+")
    (True, False)
    """
    return _is_in(pattern, reply)


def _is_in(pattern: str, text: str) -> bool:
    return bool(pc.match_substring_regex(pa.scalar(text), pattern).as_py())
