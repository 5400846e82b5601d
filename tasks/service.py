"""Service: what stands behind the server's addresses, for the champion that is deployed now."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

import anyio
import numpy as np
from fastapi import Request
from numpy.typing import NDArray
from torch import Tensor

from models.errors import InvalidInputError
from tasks import answers, uploads
from tasks.answers import Scored
from tasks.champion import Champion, Deployed
from tasks.forms import files_of, flag
from tasks.guard import BusyError
from tasks.packaged import Packaged, Prediction
from tasks.trace import trace
from tasks.traced import Trace
from tasks.uploads import Limits, UnsupportedError
from tasks.watch import Watch

BATCH_PIXELS, MAX_BATCH = 4_000_000, 32
"""Pixels, and inputs, that are scored at once."""
SMALLEST_SIDE = 64
"""Pixels of a side below which a frame may be too small for an encoder's receptive field."""
LINEAGE_SECONDS = 5.0
"""How long ``GET /lineage`` waits for the registry before it answers what it knew last."""


class Service:
    """Scores requests, a few at a time, with whatever detector is deployed."""

    def __init__(
        self, name: str, limits: Limits, poll_seconds: float, false_alarm_rate: float | None = None
    ) -> None:
        self.limits = limits
        self.champion = Champion(name, poll_seconds=poll_seconds, false_alarm_rate=false_alarm_rate)
        self.watch = Watch(name, false_alarm_rate)
        self._slots = anyio.CapacityLimiter(limits.concurrent)
        self._under_way = 0
        self._lineage: Trace | None = None

    def deployed(self) -> Deployed:
        """The detector that answers now.

        Raises:
            BusyError: If none is loaded yet.
        """
        if self.champion.deployed is None:
            raise BusyError(f"No detector is loaded yet. {self.champion.problem}")
        return self.champion.deployed

    @contextmanager
    def place(self) -> Iterator[None]:
        """Hold one of the places for requests under way.

        Raises:
            BusyError: If all are taken.
        """
        if self._under_way >= self.limits.waiting:
            raise BusyError(
                f"This server takes {self.limits.waiting} requests at a time, and has them. Send "
                "the request again in a second."
            )
        self._under_way += 1
        try:
            yield
        finally:
            self._under_way -= 1

    async def predict(self, request: Request, *, anomaly_map: bool) -> Scored:
        """Read the files of a request and score them."""
        with self.place():
            deployed = self.deployed()
            if not request.headers.get("content-type", "").startswith("multipart/form-data"):
                raise UnsupportedError(
                    "A request must be multipart/form-data with a field 'files', got "
                    f"{request.headers.get('content-type', 'no content type')!r}. With curl: "
                    "-F files=@frame.png"
                )
            async with request.form(max_files=self.limits.num_files, max_fields=8) as form:
                files = files_of(form)
                wanted = anomaly_map or flag(form.get("anomaly_map", ""))

                def score() -> Scored:
                    contents = [file.file.read() for file in files]
                    channels = deployed.packaged.preprocessing.channels
                    frames = uploads.read_frames(contents, channels=channels, limits=self.limits)
                    note = self.watch.note(deployed)
                    found = predict(
                        deployed.packaged,
                        frames,
                        anomaly_map=wanted,
                        false_alarm_rate=self.champion.false_alarm_rate,
                        observe=note.observe,
                    )
                    note.leave(found)
                    return answers.scored(deployed, found, request.state.request_id)

                return await anyio.to_thread.run_sync(score, limiter=self._slots)

    def health(self) -> dict[str, Any]:
        """Which version serves, and whether anything is wrong."""
        deployed = self.deployed()
        return {
            "status": "ok" if self.champion.problem is None else "degraded",
            "model": deployed.name,
            "version": deployed.version,
            "run_id": deployed.packaged.lineage["run_id"],
            "data_digest": deployed.packaged.lineage["data"]["digest"],
            "model_digest": deployed.packaged.digest,
            "since": deployed.since,
            "problem": self.champion.problem,
        }

    async def drift(self) -> dict[str, Any]:
        """What the served version was shown, beside what is normal for it."""
        deployed = self.deployed()
        return asdict(await anyio.to_thread.run_sync(self.watch.report, deployed))

    async def lineage(self) -> dict[str, Any]:
        """What the served version was made from; while the registry is away, as known last."""
        deployed = self.deployed()
        reference = f"{deployed.name}@{deployed.version}"
        try:
            async with asyncio.timeout(LINEAGE_SECONDS):
                found = await anyio.to_thread.run_sync(trace, reference, abandon_on_cancel=True)
        except Exception as error:
            if self._lineage is None or self._lineage.model.version != deployed.version:
                raise BusyError("The registry does not answer now. Ask again later.") from error
            return asdict(self._lineage)
        self._lineage = found
        return asdict(found)


def predict(
    packaged: Packaged,
    frames: NDArray[np.uint8],
    *,
    anomaly_map: bool,
    false_alarm_rate: float | None = None,
    observe: Callable[[Tensor], None] | None = None,
) -> Prediction:
    """Score frames in batches that fit into memory, however large they are.

    Args:
        packaged: The detector.
        frames: As ``Packaged.predict`` takes them, and the options as well.
        anomaly_map: Also return a score for every pixel.
        false_alarm_rate: That decides what is anomalous.
        observe: Is given what the detector looked at.

    Raises:
        InvalidInputError: If the detector cannot use the frames, or they are too small for it.
    """
    height, width = packaged.preprocessing.image_size or frames.shape[-2:]
    batch_size = min(max(BATCH_PIXELS // (height * width), 1), MAX_BATCH)
    try:
        return packaged.predict(
            frames,
            anomaly_map=anomaly_map,
            batch_size=batch_size,
            false_alarm_rate=false_alarm_rate,
            observe=observe,
        )
    except RuntimeError as error:  # of torch; the warm-up has shown that larger frames work
        if min(height, width) >= SMALLEST_SIDE:
            raise
        raise InvalidInputError(
            f"Frames of {width} x {height} pixels are too small for this detector. Send them at "
            "the size it was trained on."
        ) from error
