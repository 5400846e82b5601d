"""Batching: score the inputs of many requests together, on one thread of its own.

No request waits on purpose: what came while one batch was scored is the next batch, so that batches
grow with the load and a lone request is scored at once. Beyond a few images an engine scores no
more of them per second in a larger batch, and who is in a batch waits for all of it: so a batch by
an engine takes about ``BATCH_SECONDS``. Requests take turns: a long clip gets what room the others
leave, batch after batch. Windows of frames are made before; those of different requests share a
batch and nothing else.

Shapes: N = inputs, C = window or channels, H W = input, B = batch, P = places, D = features.
"""

import asyncio
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from models.errors import InvalidInputError
from tasks.packaging.detector import Packaged
from tasks.packaging.raw import Raw, together
from tasks.serving.admission import BusyError, Waiting

BATCH_PIXELS, MAX_BATCH = 4_000_000, 32
"""Pixels, and inputs, that are scored at once."""
BATCH_SECONDS, LEAST_BATCH, LEAST_LIMITED = 0.025, 4, 2
"""That a batch by an engine may take, as far as the batches before it tell, and the inputs that it
may have however long they take: they share what a batch costs, as reading all Gaussians does. Where
the wait is limited these are fewer, since who is in a batch waits for all of it."""
SMALLEST_SIDE = 64
"""Pixels of a side below which a frame may be too small for an encoder's receptive field."""
LONGEST_RETRY = 60
"""Seconds after which a client that was turned away is told to ask again, at most."""
STOP_SECONDS = 10.0


@dataclass(eq=False, kw_only=True)
class Job:
    """The inputs of one request, on their way."""

    packaged: Packaged
    """What scores them, whatever is promoted meanwhile."""
    inputs: NDArray[np.uint8]
    """Shape (N, C, H, W)."""
    map_size: tuple[int, ...] | None = None
    """Height and width of the anomaly maps; None for no maps."""
    observe: Callable[[NDArray[np.float32]], None] | None = None
    """Is given the feature vectors (B, P, D) of these inputs, of no others."""
    waiting: Waiting | None = None
    """Is told when the first of them is taken."""
    answer: "Future[Raw]" = field(default_factory=Future)
    start: int = 0
    """Inputs that were taken already."""
    parts: list[Raw] = field(default_factory=list)

    @property
    def kind(self) -> Hashable:
        """Inputs of one kind fit into one batch."""
        return id(self.packaged), self.inputs.shape[1:]

    def batch_size(self) -> int:
        """Inputs of this kind that are scored at once."""
        return min(max(BATCH_PIXELS // math.prod(self.inputs.shape[-2:]), 1), MAX_BATCH)


@dataclass(frozen=True)
class Piece:
    """Some inputs of one request."""

    job: Job
    places: slice


class Batcher:
    """Scores jobs in the order in which they came, several at once.

    Args:
        most_bytes: Of inputs that may wait; a single request may always.
        record: Is told of each batch: its requests, its inputs, and the seconds it took.
        limited: Whether who would wait for long is turned away.
    """

    def __init__(
        self,
        most_bytes: int,
        record: Callable[[int, int, float], None],
        *,
        limited: bool = False,
    ) -> None:
        self._most_bytes, self._record = most_bytes, record
        self._least = LEAST_LIMITED if limited else LEAST_BATCH
        self._jobs: deque[Job] = deque()
        self._bytes = 0
        self._changed = threading.Condition()
        self._stopped = self._waking = False
        self._thread: threading.Thread | None = None
        self._seconds_per_input = 0.0
        self._ready_at = -math.inf  # with the present batch, as far as batches before it tell

    def start(self) -> None:
        """Begin to score."""
        self._thread = threading.Thread(target=self._run, name="batcher", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End after the present batch; who still waits is told so."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()
        if self._thread:
            self._thread.join(STOP_SECONDS)
        for job in list(self._jobs):
            _fail(job, BusyError("This server stops. Ask another one, or this one in a minute."))

    def submit(self, job: Job) -> None:
        """Queue a job; its ``answer`` comes from the thread that scores.

        In an event loop that thread is woken once for all jobs of a turn: they are one batch, and
        to wake it for each takes longer than to score it.

        Raises:
            BusyError: If too much waits already.
        """
        with self._changed:
            if self._jobs and self._bytes + job.inputs.nbytes > self._most_bytes:
                raise BusyError(
                    f"Frames of other requests wait to be scored, {self._bytes} bytes of them. "
                    "Send the request again later.",
                    retry_after=self.retry_after(),
                )
            self._jobs.append(job)
            self._bytes += job.inputs.nbytes
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            self._wake()
        else:
            if not self._waking:
                self._waking = True
                loop.call_soon(self._wake)

    def _wake(self) -> None:
        with self._changed:
            self._waking = False
            self._changed.notify()

    def waiting(self) -> tuple[int, int]:
        """Requests that wait, and their inputs that nobody scores yet."""
        with self._changed:
            return len(self._jobs), sum(len(job.inputs) - job.start for job in self._jobs)

    def retry_after(self) -> int:
        """Seconds in which what waits should be scored, from 1 to ``LONGEST_RETRY``."""
        inputs = sum(len(job.inputs) - job.start for job in list(self._jobs))
        return min(max(math.ceil(inputs * self._seconds_per_input), 1), LONGEST_RETRY)

    def seconds_ahead(self, requests: int) -> float:
        """Seconds until what comes now is scored.

        Args:
            requests: That come before it; those among them that are not queued yet count as one
                input each.
        """
        jobs = list(self._jobs)
        inputs = sum(min(len(job.inputs) - job.start, job.batch_size()) for job in jobs)
        ahead = (inputs + max(requests - len(jobs), 0)) * self._seconds_per_input
        return ahead + max(self._ready_at - time.perf_counter(), 0.0)

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._jobs and not self._stopped:
                    self._changed.wait()
                if self._stopped:
                    return
                pieces = self._next()
            if pieces:
                self._score(pieces)

    def _next(self) -> list[Piece]:
        """The next batch; who has more inputs than fit goes to the end of the queue."""
        pieces: list[Piece] = []
        rest: list[Job] = []
        room, kind = 0, None
        for job in list(self._jobs):
            if job.answer.cancelled():
                self._forget(job)
                continue
            if kind is None:
                room, kind = self._room(job), job.kind
            if room and job.kind == kind:
                end = min(job.start + room, len(job.inputs))
                pieces.append(Piece(job, slice(job.start, end)))
                room -= end - job.start
                job.start = end
                if job.waiting:
                    job.waiting.begun = True
                self._jobs.remove(job)
                rest.append(job)
        for job in rest:
            if job.start < len(job.inputs):
                self._jobs.append(job)
            else:
                self._bytes -= job.inputs.nbytes
        return pieces

    def _room(self, job: Job) -> int:
        """Inputs of a batch that begins with this job."""
        if job.packaged.program is None or not self._seconds_per_input:
            return job.batch_size()
        quick = int(BATCH_SECONDS / self._seconds_per_input)
        return min(job.batch_size(), max(quick, self._least))

    def _forget(self, job: Job) -> None:
        self._jobs.remove(job)
        self._bytes -= job.inputs.nbytes

    def _score(self, pieces: list[Piece]) -> None:
        """Score one batch; if that fails, each request by itself, so that one cannot fail others.

        Whatever goes wrong is the answer: this thread must not end.
        """
        started = time.perf_counter()
        num = sum(piece.places.stop - piece.places.start for piece in pieces)
        self._ready_at = started + num * self._seconds_per_input
        try:
            _forward(pieces)
        except Exception as error:
            if len(pieces) > 1:
                for piece in pieces:
                    self._score([piece])
                return
            with self._changed:
                if pieces[0].job in self._jobs:
                    self._forget(pieces[0].job)
            _fail(pieces[0].job, error)
        else:
            for piece in pieces:
                _finish(piece.job)
        seconds = time.perf_counter() - started
        before = self._seconds_per_input or seconds / num
        self._seconds_per_input = 0.9 * before + 0.1 * seconds / num
        self._record(len(pieces), num, seconds)


def _forward(pieces: list[Piece]) -> None:
    """Score the inputs of one batch, and give each job what is its own."""
    inputs = [piece.job.inputs[piece.places] for piece in pieces]
    packaged, observed = pieces[0].job.packaged, list[NDArray[np.float32]]()
    observe = observed.append if any(piece.job.observe for piece in pieces) else None
    try:
        found = packaged.forward(np.concatenate(inputs) if len(inputs) > 1 else inputs[0], observe)
    except RuntimeError as error:  # of an engine; the warm-up has shown that larger frames work
        height, width = inputs[0].shape[-2:]
        if min(height, width) >= SMALLEST_SIDE:
            raise
        raise InvalidInputError(
            f"Frames of {width} x {height} pixels are too small for this detector. Send them at "
            "the size it was trained on."
        ) from error
    ends = np.cumsum([len(own) for own in inputs]).tolist()
    own = [slice(start, end) for start, end in zip([0, *ends], ends, strict=False)]
    parts = [found[at].at(piece.job.map_size) for piece, at in zip(pieces, own, strict=True)]
    for piece, at, part in zip(pieces, own, parts, strict=True):  # from here on nothing can fail
        piece.job.parts.append(part)
        if piece.job.observe is not None:
            for features in observed:
                piece.job.observe(features[at])


def _finish(job: Job) -> None:
    whole = sum(len(part.image_score) for part in job.parts) == len(job.inputs)
    if whole and job.answer.set_running_or_notify_cancel():
        job.answer.set_result(together(job.parts))


def _fail(job: Job, error: Exception) -> None:
    if not job.answer.done() and job.answer.set_running_or_notify_cancel():
        job.answer.set_exception(error)
