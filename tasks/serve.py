"""Serve: answer requests with the champion of a registered model, whichever that is.

``POST /predict`` scores images or a clip, ``GET /lineage`` says what the detector that answers was
made from, ``GET /health`` whether there is one, ``GET /drift`` whether what it is shown is still
like what it learned, ``/docs`` describes them all.
"""

import asyncio
import logging
import os
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import asdict
from typing import Any

import anyio
import numpy as np
import uvicorn
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from numpy.typing import NDArray
from starlette.exceptions import HTTPException
from torch import Tensor

from models.errors import InvalidInputError
from tasks import answers, registry, tracking, uploads
from tasks.answers import Scored
from tasks.champion import Champion, Deployed
from tasks.forms import FORM, files_of, flag
from tasks.guard import BusyError, Guard, answer, log_config
from tasks.packaged import Packaged, Prediction
from tasks.trace import trace
from tasks.traced import Trace
from tasks.uploads import Limits, UnsupportedError
from tasks.watch import Watch

log = logging.getLogger(__name__)

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


def build_app(
    name: str,
    *,
    limits: Limits | None = None,
    poll_seconds: float = 2.0,
    false_alarm_rate: float | None = None,
) -> FastAPI:
    """The app that serves a registered model.

    Args:
        name: Registered model whose champion answers.
        limits: What a request may cost.
        poll_seconds: Time between two looks at the alias.
        false_alarm_rate: Share of normal frames that may be called anomalous; the champion's own
            threshold decides if None.
    """
    limits = limits or Limits()
    service = Service(name, limits, poll_seconds, false_alarm_rate)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        service.champion.start()
        service.watch.start()
        yield
        service.champion.stop()
        await anyio.to_thread.run_sync(service.watch.stop)

    app = FastAPI(title=f"unseen: {name}", lifespan=lifespan)
    app.add_middleware(Guard, limits=limits)
    app.add_exception_handler(HTTPException, answer)
    app.add_exception_handler(RequestValidationError, answer)
    app.state.service = service
    body = {"required": True, "content": {"multipart/form-data": {"schema": FORM}}}

    @app.post("/predict", openapi_extra={"requestBody": body})
    async def predict(request: Request, *, anomaly_map: bool = False) -> Scored:
        """Score images, or the frames of a clip."""
        return await service.predict(request, anomaly_map=anomaly_map)

    @app.get("/health")
    async def health() -> dict[str, Any]:
        """Which version serves; 503 before the first is loaded."""
        return service.health()

    @app.get("/lineage")
    async def lineage() -> dict[str, Any]:
        """What the served version was made from."""
        return await service.lineage()

    @app.get("/drift")
    async def drift() -> dict[str, Any]:
        """Whether what the served version is shown is still like what it learned."""
        return await service.drift()

    return app


def serve(
    name: str,
    host: str = "127.0.0.1",
    port: int = 8000,
    *,
    limits: Limits | None = None,
    poll_seconds: float = 2.0,
    false_alarm_rate: float | None = None,
    wait: bool = False,
) -> None:
    """Serve the champion of a registered model until interrupted.

    Raises:
        NotFoundError: If there is no such model, or it has no champion, and ``wait`` is not set:
            then every request is answered 503 until there is one.
        InvalidInputError: If the address cannot be used.
    """
    if not wait:
        registry.resolve(tracking.client(), name, registry.CHAMPION)
    # The follower asks again soon anyhow: it must not be stuck in MLflow's own minutes of retries.
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "30")
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listener = socket.create_server((host, port), family=family)
    except (OSError, OverflowError) as error:
        raise InvalidInputError(
            f"The server must be able to listen on {host} port {port}, got: {error}. "
            "Choose another with --host and --port."
        ) from error
    app = build_app(
        name, limits=limits, poll_seconds=poll_seconds, false_alarm_rate=false_alarm_rate
    )
    config = uvicorn.Config(
        app, server_header=False, timeout_graceful_shutdown=10, log_config=log_config()
    )
    address = f"[{host}]" if ":" in host else host
    log.info("%s answers at http://%s:%d; see /docs there.", name, address, port)
    with listener, suppress(KeyboardInterrupt):
        uvicorn.Server(config).run(sockets=[listener])
