"""Admission: which requests a server takes on, and for how long they wait."""

import asyncio
import math
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from models.errors import UnseenError
from tasks.serving.uploads import Limits


class BusyError(UnseenError):
    """The server cannot answer now, but soon.

    Attributes:
        headers: Tell the client after how many seconds to ask again.
    """

    http_status = 503

    def __init__(self, sentence: str, *, retry_after: int = 1) -> None:
        super().__init__(sentence)
        self.headers = {"Retry-After": str(retry_after)}


class GreedyError(BusyError):
    """One client asks for too much at once; others are still answered."""

    http_status = 429


class OverloadedError(BusyError):
    """Whoever came now would wait for longer than the server allows."""

    http_status = 429


class Waiting:
    """A request that has arrived, until somebody begins to score it."""

    def __init__(self) -> None:
        self.since, self.begun = time.monotonic(), False


class Turns:
    """How long the turns of an event loop take.

    A request is read at the beginning of a turn, so it may have waited for the whole turn before;
    its answer is sent in a later one. Nothing else tells of requests that nobody has read yet.
    """

    def __init__(self) -> None:
        self._began: float | None = None
        self._ended, self._seconds = -math.inf, 0.0

    def seconds(self) -> float:
        """Of the present turn so far, or of the one just before it if that was longer."""
        now = time.monotonic()
        if self._began is None:
            self._began = now
            asyncio.get_running_loop().call_soon(self._end)
            if now - self._ended > self._seconds:  # the loop had nothing to do in between
                self._seconds = 0.0
        return max(now - self._began, self._seconds)

    def _end(self) -> None:
        assert self._began is not None
        self._ended = time.monotonic()
        self._seconds, self._began = self._ended - self._began, None


class Admission:
    """Counts the requests under way; used by one thread alone, that of the event loop.

    Attributes:
        under_way: How many there are.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._of: Counter[str] = Counter()
        self._waiting: deque[Waiting] = deque()
        self._turns = Turns()
        self.under_way = 0

    def arrived(self, to_score: Callable[[int], float], retry_after: int = 1) -> Waiting:
        """Enter a request that has arrived; who begins to score it, or gives up, says so.

        Args:
            to_score: Seconds until one that comes now is scored, for the number of requests that
                have arrived and are not scored yet.
            retry_after: Seconds after which who is turned away should ask again.

        Raises:
            OverloadedError: If it would wait for longer than requests should, for its turns in the
                event loop and to be scored, or if another one has waited for so long.
        """
        most = self._limits.wait_seconds
        if most < math.inf:
            waits, turn = self.longest_wait(), self._turns.seconds()
            waits = max(waits, 2 * turn + to_score(sum(not each.begun for each in self._waiting)))
            if waits > most:
                raise OverloadedError(
                    f"Requests must not wait for more than {1e3 * most:g} ms, and this one would, "
                    f"for about {1e3 * waits:.0f} ms. Send it again later.",
                    retry_after=retry_after,
                )
        self._waiting.append(Waiting())
        return self._waiting[-1]

    def longest_wait(self) -> float:
        """Seconds for which the request has waited that is next to be scored."""
        while self._waiting and self._waiting[0].begun:
            self._waiting.popleft()
        return time.monotonic() - self._waiting[0].since if self._waiting else 0.0

    @contextmanager
    def place(self, client: str, retry_after: int = 1) -> Iterator[None]:
        """Hold one of the places.

        Args:
            client: Who asks.
            retry_after: Seconds after which who is turned away should ask again.

        Raises:
            BusyError: If all are taken.
            GreedyError: If this client has all that one client may have.
        """
        if self.under_way >= self._limits.waiting:
            raise BusyError(
                f"This server takes {self._limits.waiting} requests at a time, and has them. Send "
                "the request again later.",
                retry_after=retry_after,
            )
        if self._of[client] >= self._limits.waiting_each:
            raise GreedyError(
                f"This server takes {self._limits.waiting_each} requests of one client at a time, "
                "and has them. Wait for answers before you send more.",
                retry_after=retry_after,
            )
        self.under_way += 1
        self._of[client] += 1
        try:
            yield
        finally:
            self.under_way -= 1
            self._of[client] -= 1
            if not self._of[client]:
                del self._of[client]
