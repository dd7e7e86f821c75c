"""What the name of an index stands for: an alias in Milvus, of one collection that is a generation of the index.

A rebuild fills the next generation while the present one is searched, and moves the alias in one step. A generation
that no alias names is one that was not finished. Numbers are never used again while an index exists, so whoever holds
on to a generation that was replaced finds it gone, and never finds another in its place.
"""

import re

from plait.errors import Conflict
from plait.index.connection import Milvus
from plait.settings import settings

_GENERATION = re.compile(r"__(\d+)\Z")


def collection_of(index: str, generation: int) -> str:
    """The collection that holds a generation of an index."""
    return f"{index}__{generation}"


def generation_of(collection: str) -> int:
    """Which generation a collection is.

    Raises:
        Conflict: when it is none, because its name is no alias.
    """
    match = _GENERATION.search(collection)
    if match is None:
        raise Conflict(
            f"'{collection}' is a collection itself and not the alias of one, so it cannot be replaced.",
            "Drop it and ingest again, or rebuild under another name.",
        )
    return int(match[1])


def current_collection(milvus: Milvus, index: str) -> str | None:
    """The collection that the index is now, or None when there is no such index."""
    from pymilvus.exceptions import MilvusException

    with milvus.answering(f"look for collection '{index}'") as client:
        if not client.has_collection(index, timeout=settings().milvus_timeout_s):
            return None
        try:
            about = client.describe_alias(index, timeout=settings().milvus_timeout_s)
        except MilvusException:
            # The name is no alias (which servers say in different ways), or the server is too old for the question.
            about = client.describe_collection(index, timeout=settings().milvus_timeout_s)
    return str(about["collection_name"])


def point(milvus: Milvus, index: str, collection: str) -> None:
    """Let the index be this collection from now on."""
    current = current_collection(milvus, index)
    with milvus.answering(f"let '{index}' be '{collection}'") as client:
        change = client.create_alias if current is None else client.alter_alias
        change(collection, index, timeout=settings().milvus_timeout_s)


def index_names(milvus: Milvus, collection: str) -> list[str]:
    """By which names a collection is an index: none for a generation that was not finished."""
    if not _GENERATION.search(collection):
        return [collection]
    with milvus.answering(f"list the aliases of '{collection}'") as client:
        aliases: list[str] = client.list_aliases(collection, timeout=settings().milvus_timeout_s)["aliases"]
    return aliases
