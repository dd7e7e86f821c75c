"""Settings that differ for a while, as they would in another environment."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from plait.settings import settings


@contextmanager
def changed_settings(**values: object) -> Iterator[None]:
    """Set `PLAIT_<NAME>` for each name, also for processes started meanwhile; what was before comes back after."""
    try:
        with pytest.MonkeyPatch.context() as environment:
            for name, value in values.items():
                environment.setenv(f"PLAIT_{name.upper()}", str(value))
            settings.cache_clear()
            yield
    finally:
        settings.cache_clear()
