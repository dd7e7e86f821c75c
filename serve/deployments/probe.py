"""A question about liveness that many ask: it is put once for all who ask within a second, and has a limit in time."""

import asyncio
from collections.abc import Callable

from plait.errors import Unavailable


class Probe:
    """Asks in a thread, once for everybody.

    Args:
        ask: raises when what it asks does not answer as it should; may block for longer than `timeout_s`.
        missing: what to say when it does not answer: a sentence.
        fresh_s: an answer so old is as good as a new one.
        timeout_s: who asks hears within this time; the same call is then waited for by whoever asks next.
    """

    def __init__(self, ask: Callable[[], object], missing: str, fresh_s: float = 1.0, timeout_s: float = 2.0) -> None:
        self._ask, self._missing = ask, missing
        self._fresh_s, self._timeout_s = fresh_s, timeout_s
        self._asked: asyncio.Future[BaseException | None] | None = None
        self._at = 0.0

    async def check(self) -> None:
        """Returns when the last answer was good.

        Raises:
            Unavailable: when it was not, or there is none in time.
        """
        now = asyncio.get_running_loop().time()
        if self._asked is None or (self._asked.done() and now - self._at >= self._fresh_s):
            self._asked, self._at = asyncio.ensure_future(asyncio.to_thread(self._answer)), now
        await asyncio.wait([self._asked], timeout=max(0.0, self._at + self._timeout_s - now))
        if not self._asked.done() or self._asked.result() is not None:
            raise Unavailable(self._missing, "It is asked again every second; try again in a moment.")

    def _answer(self) -> BaseException | None:
        try:
            self._ask()
        except Exception as error:  # whatever it was, there is no answer; the deployments' own calls say why
            return error
        return None
