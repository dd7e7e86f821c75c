"""A label that takes a bounded number of values, so that names which users may add do not become series without end.

In: a name. Out: the name itself, or `other` once as many names as allowed have been seen. It knows no metric.
"""

OTHER = "other"


class BoundedLabel:
    """The first `limit` names of this process keep their own value; every later one is `other`.

    First come, first kept, because a series that exists cannot be renamed. Each process counts for itself: a node shows
    at most `limit` names for each of its processes, and the names that all of them see are the same few.

    Example:
        >>> label = BoundedLabel(limit=1)
        >>> label("support"), label("sales"), label("support")
        ('support', 'other', 'support')
    """

    def __init__(self, limit: int = 50) -> None:
        self._limit = limit
        self._names: set[str] = set()

    def __call__(self, name: str) -> str:
        """The value to label with; the empty name (no adapter) is always itself."""
        if not name or name in self._names:
            return name
        if len(self._names) >= self._limit:
            return OTHER
        self._names.add(name)
        return name
