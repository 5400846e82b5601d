"""Watch: keep statistics of what is served, beside the requests and never in their way.

A request leaves a note of what it showed the detector in a queue of bounded length; a thread of its
own counts the notes and writes them to disk every so often. Where that cannot keep up, notes are
lost, and how many; where it fails, the log says so once and predictions go on.
"""

import logging
import math
import queue
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
from filelock import FileLock, Timeout
from numpy.typing import NDArray

from models.errors import UnseenError
from models.functional.drift import sampled_places
from tasks.packaging.detector import Prediction
from tasks.platform import workspace
from tasks.serving.deployed import Deployed
from tasks.serving.monitoring import drift, served_statistics
from tasks.serving.monitoring.drift import DriftReport, Norm
from tasks.serving.monitoring.served_statistics import Identity, Seen, Served, together

log = logging.getLogger(__name__)

MOST_NOTES = 256
"""Notes that wait to be counted."""
MOST_FRAMES = 512
"""Frames of one request whose feature vectors are kept."""
OBSERVED_PER_SECOND, OBSERVED_AT_ONCE = 25, 100
"""Requests whose feature vectors are counted, in the long run and after a pause."""
PLACES = 32
"""Places of a frame whose feature vectors are counted."""
KEPT = 2
"""Versions in memory: while the champion changes, requests to the former one still end."""
SAVE_SECONDS = 30.0
TOGETHER, PAUSE_SECONDS = 64, 0.05
"""Notes that are counted at once, and the pause in which they gather."""
MARK_SECONDS = 1.0
"""Least time between two points of a timeline: their distances cost more than all else here."""
PATIENCE = 2.0
"""Seconds that a report waits for notes of requests that were answered already."""


@dataclass
class _Known:
    """A version that serves, and what is normal for it."""

    served: Served
    norm: Norm
    unsaved: bool = False
    marked_at: float = -math.inf


class Note:
    """What one request showed a detector; nothing that goes wrong in here reaches the request.

    Attributes:
        observes: The detector has feature vectors to tell of, and there is time to count them.
    """

    def __init__(self, watch: "Watch", deployed: Deployed) -> None:
        self.observes = watch.has_time(deployed)
        self._watch, self._deployed = watch, deployed
        self._features: list[NDArray[np.float32]] = []
        self._frames = 0

    def observe(self, features: NDArray[np.float32]) -> None:
        """Keep some of the feature vectors (B, P, D) of a batch."""
        try:
            if self._frames < MOST_FRAMES:
                self._features.append(sampled_places(features, PLACES, np.random.default_rng()))
                self._frames += len(features)
        except Exception as error:
            self._watch.complain(error)

    def leave(self, prediction: Prediction) -> None:
        """Hand the note to the watch, once the request is scored."""
        try:
            seen = Seen(
                p_value=prediction.p_value,
                image_score=prediction.image_score,
                num_alarms=int(prediction.anomalous.sum()),
                is_clip=prediction.clip_p_value is not None,
                features=tuple(self._features),
            )
            self._watch.put(self._deployed, seen)
        except Exception as error:
            self._watch.complain(error)


class Watch:
    """Counts what a server shows the versions of one registered model.

    Args:
        name: The registered model.
        false_alarm_rate: That it is served with; None for each version's own threshold.
        save_seconds: Longest time after which what was counted is on disk.
    """

    def __init__(
        self, name: str, false_alarm_rate: float | None, save_seconds: float = SAVE_SECONDS
    ) -> None:
        self.name, self.false_alarm_rate = name, false_alarm_rate
        self.save_seconds = save_seconds
        self.lost = 0
        self._notes: queue.Queue[tuple[Deployed, Seen] | None] = queue.Queue(MOST_NOTES)
        self._known: dict[str, _Known] = {}
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._file_lock: FileLock | None = None
        self._complained = False
        self._allowed, self._counted_at = float(OBSERVED_AT_ONCE), time.monotonic()

    def start(self) -> None:
        """Begin to count; to disk, unless another server of this model does so already."""
        with suppress(OSError, UnseenError):
            folder = workspace.home() / "served"
            folder.mkdir(exist_ok=True)
            lock = FileLock(folder / f"{self.name}.lock", thread_local=False)
            try:
                lock.acquire(blocking=False)
                self._file_lock = lock
            except Timeout:
                log.warning(
                    "Another server of %s keeps its statistics on disk; those of this one are "
                    "lost when it stops.",
                    self.name,
                )
        self._thread = threading.Thread(target=self._run, name=f"watch-{self.name}", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Count what waits, and write it down."""
        if self._thread:
            with suppress(queue.Full):
                self._notes.put(None, timeout=PATIENCE)
            self._thread.join(timeout=10)
        self._save()
        if self._file_lock:
            self._file_lock.release()

    def note(self, deployed: Deployed) -> Note:
        """An empty note of a request that this version will answer."""
        return Note(self, deployed)

    def has_time(self, deployed: Deployed) -> bool:
        """Whether the feature vectors of one more request can be counted.

        They cost more than all else that is counted: of a crowd, a sample is as good.
        """
        now = time.monotonic()
        grown = (now - self._counted_at) * OBSERVED_PER_SECOND
        self._allowed, self._counted_at = min(self._allowed + grown, OBSERVED_AT_ONCE), now
        if self._allowed < 1 or deployed.packaged.reference is None:
            return False
        self._allowed -= 1
        return True

    def put(self, deployed: Deployed, seen: Seen) -> None:
        """Queue what a request showed, or lose it if too much waits."""
        try:
            self._notes.put_nowait((deployed, seen))
        except queue.Full:
            self.lost += 1

    def report(self, deployed: Deployed) -> DriftReport:
        """Whether what this version was shown has drifted."""
        deadline = time.monotonic() + PATIENCE
        while self._notes.unfinished_tasks and time.monotonic() < deadline:
            time.sleep(0.005)
        with self._lock:
            known = self._of(deployed)
            return drift.compare(known.served, known.norm, self.lost)

    def complain(self, error: Exception) -> None:
        """Log why something is not counted, the first time."""
        if not self._complained:
            log.warning("What %s is shown cannot be counted.", self.name, exc_info=error)
        self._complained = True

    def _run(self) -> None:
        due, going = time.monotonic() + self.save_seconds, True
        while going:
            notes = self._taken(max(due - time.monotonic(), 0.01))
            going = None not in notes
            for deployed, seen in joined([note for note in notes if note is not None]):
                try:
                    self._count(deployed, seen)
                except Exception as error:
                    self.complain(error)
            for _ in notes:
                self._notes.task_done()
            if time.monotonic() >= due:
                self._save()
                due = time.monotonic() + self.save_seconds
            if going and len(notes) < TOGETHER:
                time.sleep(PAUSE_SECONDS)

    def _taken(self, timeout: float) -> list[tuple[Deployed, Seen] | None]:
        """The notes that wait, at most ``TOGETHER``; none if none comes in time."""
        notes = []
        with suppress(queue.Empty):
            notes.append(self._notes.get(timeout=timeout))
            while len(notes) < TOGETHER:
                notes.append(self._notes.get_nowait())
        return notes

    def _count(self, deployed: Deployed, seen: Seen) -> None:
        with self._lock:
            known = self._of(deployed)
            known.unsaved = True
            now = time.monotonic()
            if known.served.add(seen) and now - known.marked_at >= MARK_SECONDS:
                known.marked_at = now
                known.served.mark(drift.distance_of(known.served.recent(), known.norm))

    def _of(self, deployed: Deployed) -> _Known:
        """Statistics of a version: those in memory, else on disk, else new ones; under the lock."""
        digest = deployed.packaged.digest
        if digest not in self._known:
            while len(self._known) >= KEPT:
                oldest = next(iter(self._known))
                self._write(self._known[oldest])
                del self._known[oldest]
            identity = Identity(
                name=self.name,
                version=deployed.version,
                digest=digest,
                rate=self.false_alarm_rate,
            )
            path = served_statistics.path_of(self.name, deployed.version)
            before = served_statistics.load(path) if self._file_lock else None
            if before is None or before.identity != identity:
                before = Served(identity, drift.score_edges(deployed.packaged))
            norm = drift.norm_of(deployed.packaged, self.false_alarm_rate)
            self._known[digest] = _Known(before, norm)
        return self._known[digest]

    def _save(self) -> None:
        with self._lock:
            for known in self._known.values():
                self._write(known)

    def _write(self, known: _Known) -> None:
        if not known.unsaved or not self._file_lock:
            return
        try:
            known.served.save(served_statistics.path_of(self.name, known.served.identity.version))
            known.unsaved = False
        except Exception as error:
            self.complain(error)


def joined(notes: Iterable[tuple[Deployed, Seen]]) -> Iterator[tuple[Deployed, Seen]]:
    """The same frames in fewer notes: stills of one version in one, each clip in its own."""
    stills: dict[int, tuple[Deployed, list[Seen]]] = {}
    for deployed, seen in notes:
        if seen.is_clip:
            yield deployed, seen
        else:
            stills.setdefault(id(deployed), (deployed, []))[1].append(seen)
    for deployed, several in stills.values():
        yield deployed, together(several)
