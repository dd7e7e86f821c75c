def ask() -> None:
    """(being written)"""
