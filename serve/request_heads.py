"""Connections that never say what they want: uvicorn, under Ray Serve's proxy, keeps them for ever, and we do not.

It has a limit for a connection that is idle after an answer, and none for one that sends nothing, or half the head of a
request. This is the one module that touches the inside of uvicorn's protocols.
"""

from typing import TYPE_CHECKING, Any

from uvicorn import config

if TYPE_CHECKING:  # either of two classes, which mypy cannot derive from
    AutoHTTPProtocol = Any
else:
    from uvicorn.protocols.http.auto import AutoHTTPProtocol

_LOOK_EVERY_S = 15.0
"""A head may take this long; a connection without one is closed at the second look."""


class PromptHeads(AutoHTTPProtocol):  # type: ignore[misc]
    """A connection that is closed when the head of its next request does not come whole."""

    look_every_s = _LOOK_EVERY_S

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._look_later(is_waiting=False)

    def connection_lost(self, exc: Exception | None) -> None:
        self._look.cancel()
        super().connection_lost(exc)

    def _look_later(self, is_waiting: bool) -> None:
        self._look = self.loop.call_later(self.look_every_s, self._close_or_look_later, is_waiting, self.cycle)

    def _close_or_look_later(self, was_waiting: bool, last_request: Any) -> None:
        has_none = self.cycle is None or self.cycle.response_complete
        is_waiting = has_none and self.timeout_keep_alive_task is None  # else uvicorn's own limit holds
        if is_waiting and (was_waiting or self.cycle is None) and self.cycle is last_request:
            self.transport.close()
        else:
            self._look_later(is_waiting)


def close_without_heads() -> None:
    """Let every uvicorn server that starts in this process close connections that send no head."""
    config.HTTP_PROTOCOLS["auto"] = f"{__name__}:{PromptHeads.__name__}"
