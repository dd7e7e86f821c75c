"""Whether a text holds an answer.

The rule is containment of whole tokens after normalisation, as in open-domain question answering (Lee et al. 2019,
arXiv:1906.00300; Mallen et al. 2023, arXiv:2212.10511): a text may say more than the answer, but `2.60.0` is not found
in `12.60.0` or `2.60.01`. It knows neither models nor questions.
"""

import re
import unicodedata

# A number, a version or a word; a dot or a hyphen inside belongs to it, one at its end does not.
_TOKEN = re.compile(r"[<>=!~]+|\w+(?:[.+-]\w+)*")


def tokens(text: str) -> list[str]:
    """Lower-cased tokens: words, numbers, versions, comparison signs.

    >>> tokens("The version is 2.60.0 (>=3.9).")
    ['the', 'version', 'is', '2.60.0', '>=', '3.9']
    """
    return _TOKEN.findall(unicodedata.normalize("NFKC", text).lower())


def is_correct(reply: str, expected: str) -> bool:
    """Whether the tokens of `expected` stand together somewhere in `reply`. An empty expectation is never met."""
    wanted, given = tokens(expected), tokens(reply)
    if not wanted:
        return False
    return any(given[i : i + len(wanted)] == wanted for i in range(len(given) - len(wanted) + 1))
