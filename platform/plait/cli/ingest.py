def ingest() -> None:
    """(being written)"""
