"""Admission: how many requests may be under way at once, in all and for each client."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from tasks.serving.middleware import BusyError, GreedyError
from tasks.serving.uploads import Limits


class Admission:
    """Counts the requests under way; used by one thread alone, that of the event loop.

    Attributes:
        under_way: How many there are.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._of: Counter[str] = Counter()
        self.under_way = 0

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
