"""Kept pictures: what was scored, under its SHA-256, for as long as there is room.

Nothing is kept unless ``unseen serve --keep`` or ``unseen watch --keep`` says so. A picture lies in
``.unseen/kept/NAME`` once, however often it came; the prediction log says which answers it got. A
thread of its own writes: a request waits for no disk and fails for none.
"""

import logging
import os
import queue
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from models.errors import InvalidInputError
from tasks.platform import files, workspace
from tasks.serving.monitoring.prediction_log import LoggedPrediction

log = logging.getLogger(__name__)

POLICIES = ("alarms", "all", "none")
MOST_WAITING_BYTES = 128 * 2**20
"""Of pictures that wait to be written."""
LEAST_LEFT = 0.9
"""Share of the room that is filled when the oldest pictures have gone."""
COMPLAIN_SECONDS = 60.0


@dataclass(frozen=True, kw_only=True)
class Keep:
    """Which pictures are kept, and how many."""

    policy: str = "none"
    """``alarms``: those that raised one; ``all``; ``none``."""
    mib: int = 1024
    """Room for them; the oldest go first."""

    def __post_init__(self) -> None:
        if self.policy not in POLICIES:
            raise InvalidInputError(
                f"--keep must be one of {', '.join(POLICIES)}, got {self.policy!r}."
            )
        if self.mib < 1:
            raise InvalidInputError(f"--keep-mib must be at least 1, got {self.mib}.")


class KeptPictures:
    """Writes the pictures of one model.

    Args:
        name: The registered model.
        keep: Which, and how many.

    Attributes:
        lost: Pictures that should have been kept and were not: the disk was full, or too slow.
    """

    def __init__(self, name: str, keep: Keep) -> None:
        self.name, self.keep, self.lost = name, keep, 0
        self._waiting: queue.Queue[tuple[str, bytes] | None] = queue.Queue()
        self._waiting_bytes = 0
        self._held: int | None = None
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._complained = -COMPLAIN_SECONDS

    def start(self) -> None:
        """Begin to write."""
        self._thread = threading.Thread(target=self._run, name="pictures", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Write what waits, and end."""
        if self._thread:
            self._waiting.put(None)
            self._thread.join(timeout=10)

    def put(self, prediction: LoggedPrediction, contents: Sequence[bytes]) -> None:
        """Keep what the policy says of an answered request, or lose it if too much waits.

        Args:
            prediction: What was answered.
            contents: The files that it is about, in order.
        """
        for place in wanted(prediction, self.keep.policy):
            content = contents[place]
            with self._lock:
                full = self._waiting_bytes + len(content) > MOST_WAITING_BYTES
                self._waiting_bytes += 0 if full else len(content)
            if full:
                self._lose("more come than can be written")
            else:
                self._waiting.put((prediction.files[place], content))

    def _run(self) -> None:
        while (entry := self._waiting.get()) is not None:
            digest, content = entry
            try:
                self._write(path_of(self.name, digest), content)
            except Exception as error:  # of the disk: whatever it is, predictions go on
                self._lose(str(error))
            with self._lock:
                self._waiting_bytes -= len(content)

    def _write(self, path: Path, content: bytes) -> None:
        room = self.keep.mib * 2**20
        if path.exists():
            os.utime(path)  # seen again: it is not the oldest any more
            return
        if len(content) > room:
            raise OSError(f"a picture of {len(content)} bytes is larger than --keep-mib allows")
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if self._held is None:
            self._held = sum(each.stat().st_size for each in _all(self.name))
        if self._held + len(content) > room:
            self._held = self._make_room(int(room * LEAST_LEFT) - len(content))
        with files.whole(path, mode=0o600) as partial:
            partial.write_bytes(content)
        self._held += len(content)

    def _make_room(self, most: int) -> int:
        """Let the oldest pictures go until so many bytes are left at most; how many there are."""
        known = sorted(
            (each.stat().st_mtime_ns, each.stat().st_size, each) for each in _all(self.name)
        )
        held = sum(size for _, size, _ in known)
        for _, size, path in known:
            if held <= most:
                break
            path.unlink(missing_ok=True)
            held -= size
        return held

    def _lose(self, why: str) -> None:
        self.lost += 1
        if time.monotonic() - self._complained >= COMPLAIN_SECONDS:
            log.warning("Pictures of %s are not kept: %s.", self.name, why)
            self._complained = time.monotonic()


def wanted(prediction: LoggedPrediction, policy: str) -> tuple[int, ...]:
    """Places of the files of a request that a policy keeps; a clip is kept whole or not at all."""
    if policy == "none" or (policy == "alarms" and not prediction.anomalous):
        return ()
    if policy == "all" or prediction.is_clip:
        return tuple(range(len(prediction.files)))
    return prediction.anomalous


def folder(name: str) -> Path:
    """Where the pictures of a model are kept."""
    return workspace.home() / "kept" / name


def path_of(name: str, digest: str) -> Path:
    """Where a picture is, if it is kept."""
    return folder(name) / digest[:2] / digest


def kept(name: str) -> frozenset[str]:
    """SHA-256 of all pictures that are kept of a model."""
    return frozenset(each.name for each in _all(name))


def _all(name: str) -> list[Path]:
    found = []
    with suppress(OSError):
        found = [path for path in folder(name).glob("??/*") if not path.name.endswith(".part")]
    return found
