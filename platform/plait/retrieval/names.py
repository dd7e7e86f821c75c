"""Names: what is searched for by its letters and not by its meaning: add_option, shutil.copytree, --no-cache."""

import re

_NAME = re.compile(r"\S*[A-Za-z]\S*")
_MARK = re.compile(r"[._/\\:=@#$-]|\d|\w\(|[a-z][A-Z]|^[A-Z]{2,}$|^[A-Z][a-z]+Error$")


def is_name(query: str) -> bool:
    """The query is one word that is no word of a language.

    >>> [is_name(query) for query in ("add_option", "--no-cache", "ENOENT", "inheritance", "what is add_option?")]
    [True, True, True, False, False]
    """
    word = query.strip().rstrip("?.!,:")
    return _NAME.fullmatch(word) is not None and _MARK.search(word) is not None
