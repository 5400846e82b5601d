"""Backlog: pictures of several sources that wait to be scored, of bounded number.

What is live cannot wait: its oldest picture goes, and is counted. What lies on a disk can: whoever
brings one more waits until there is room.
"""

import threading
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False, kw_only=True)
class Picture:
    """One picture of a source."""

    source: str
    """As people are told of it, without secrets."""
    request_id: str
    """Under which it is logged; the same whenever the same file or frame comes again."""
    index: int
    """Number in its source; a gap says that something is missing."""
    pixels: NDArray[np.uint8]
    """(H, W) gray or (3, H, W) colour."""
    content: bytes | None = None
    """Of its file; None for a frame of a stream."""


class Backlog:
    """Pictures in order, each source by itself, and taken from them in turn.

    Args:
        sources: Their names.
        most: Pictures of each that may wait.

    Attributes:
        dropped: Pictures that had to go, by source.
    """

    def __init__(self, sources: Iterable[str], most: int = 32) -> None:
        self.most = most
        self._waiting: dict[str, deque[Picture]] = {name: deque() for name in sources}
        self.dropped = dict.fromkeys(self._waiting, 0)
        self._open = set(self._waiting)
        self._changed = threading.Condition()
        self._closed = False

    def put(self, picture: Picture, *, live: bool) -> bool:
        """Queue a picture; whether anybody still wants pictures.

        Args:
            picture: The newest of its source.
            live: In its source it cannot wait.
        """
        with self._changed:
            queue = self._waiting[picture.source]
            while len(queue) >= self.most and not live and not self._closed:
                self._changed.wait(1.0)
            while len(queue) >= self.most:
                queue.popleft()
                self.dropped[picture.source] += 1
            queue.append(picture)
            self._changed.notify_all()
            return not self._closed

    def end(self, source: str) -> None:
        """Say that nothing more comes of a source."""
        with self._changed:
            self._open.discard(source)
            self._changed.notify_all()

    def close(self) -> None:
        """Say that nobody takes pictures any more."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def take(self, most: int) -> list[Picture]:
        """The oldest pictures of the source whose turn it is, at least one; none at the end."""
        with self._changed:
            while not self._closed:
                for name in list(self._waiting):
                    queue = self._waiting[name]
                    if queue:
                        self._waiting[name] = self._waiting.pop(name)  # the others come first now
                        taken = [queue.popleft() for _ in range(min(most, len(queue)))]
                        self._changed.notify_all()
                        return taken
                if not self._open:
                    return []
                self._changed.wait(1.0)
            return []
