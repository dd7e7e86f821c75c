"""Which collections an application serves: those of its configuration, and those that clients made over the API.

Every replica asks here when a request names one, so that what one of them made is there for all of them at once.
"""

from collections.abc import Sequence

from plait.documents.uploads import made_collections
from plait.errors import CollectionNotFound


class ServedCollections:
    """`configured`: those of the configuration, the first one first."""

    def __init__(self, configured: Sequence[str]) -> None:
        self.configured = tuple(configured)

    def names(self) -> list[str]:
        """All of them: those that clients made, newest first, then those of the configuration in its order."""
        return [made.id for made in made_collections.made()] + list(self.configured)

    def holds(self, name: str) -> bool:
        return name in self.configured or made_collections.find(name) is not None

    def check(self, name: str) -> None:
        """Whether a collection is served.

        Raises:
            CollectionNotFound: when it is not.
        """
        if not self.holds(name):
            served = " and ".join(repr(name) for name in self.configured)
            raise CollectionNotFound(
                f"There is no collection '{name[:80]}' here.", f"This application serves {served}."
            )
