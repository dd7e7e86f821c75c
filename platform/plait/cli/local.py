def status() -> None:
    """(being written)"""


def stop() -> None:
    """(being written)"""
