"""Plait: give a model knowledge by weights, by retrieval, or by both, and measure which is better."""


def __getattr__(name: str) -> str:
    """`__version__`, looked up when it is asked for: importing what looks it up takes three bare interpreters' time."""
    if name != "__version__":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib.metadata import version

    return version("plait")
