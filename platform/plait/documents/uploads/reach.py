"""Whose files and collections somebody may touch."""

from pydantic import BaseModel, ConfigDict


class Reach(BaseModel):
    """What of the files and collections somebody may touch: those of a tenant, and of some collections; None: all."""

    model_config = ConfigDict(frozen=True)

    tenant: str | None = None
    collections: tuple[str, ...] | None = None

    def holds(self, other: "Reach") -> bool:
        """Whether all that another may touch is within this one."""
        if self.tenant not in (None, other.tenant):
            return False
        if self.collections is None:
            return True
        return other.collections is not None and set(other.collections) <= set(self.collections)


EVERYTHING = Reach()
UNKNOWN = ""
NOBODY = Reach(tenant=UNKNOWN)
"""What only a key that may do everything reaches: nobody knows whose it is."""
