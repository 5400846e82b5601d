"""Tries: what a detector says of images that somebody drops on the page.

The champion's serving process is asked, so that the page shows what everybody gets. Where none
runs, and for any other version, the console scores them itself, and nobody counts them.
"""

import threading
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

import anyio
import httpx
from fastapi import Request, Response
from fastapi.encoders import jsonable_encoder
from fastapi.responses import JSONResponse

from models.errors import InvalidInputError, NotFoundError, UnseenError
from tasks.feedback import inbox
from tasks.registry import mlflow_store, model_versions
from tasks.serving import uploads
from tasks.serving.admission import BusyError
from tasks.serving.forms import files_of
from tasks.serving.uploads import Limits, UnsupportedError

MOST_UNDER_WAY = 4
"""Requests that are received or scored here at a time."""
KEPT = 2
"""Detectors in memory."""
BATCH_SIZE = 4
"""Inputs scored at once: large frames must fit into memory, too."""
SECONDS = 120.0
"""How long a serving process may take to score a request."""
PASSED_ON = ("authorization", "x-api-key", "content-type", "content-length")
"""Headers of a request that its serving process gets to see."""
ANSWERED_BY = "X-Answered-By"


class UnreachableError(UnseenError):
    """The serving process does not answer."""

    http_status = 502


class Tries:
    """Scores images with any version of any registered model."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._deployed: OrderedDict[str, Any] = OrderedDict()
        self._lock = threading.Lock()
        self._slot = anyio.CapacityLimiter(1)
        self._under_way = 0

    async def here(self, request: Request, name: str, version: int, *, maps: bool) -> Response:
        """Score the files of a request in this process."""
        if not request.headers.get("content-type", "").startswith("multipart/form-data"):
            raise UnsupportedError(
                "A request must be multipart/form-data with a field 'files', got "
                f"{request.headers.get('content-type', 'no content type')!r}."
            )
        if self._under_way >= MOST_UNDER_WAY:
            raise BusyError(
                f"The console scores {MOST_UNDER_WAY} requests at a time, one after the other, and "
                "has them. Send the request again in a second."
            )
        self._under_way += 1
        try:
            found = await self._found(request, name, version, maps=maps)
        finally:
            self._under_way -= 1
        return JSONResponse(jsonable_encoder(found), headers={ANSWERED_BY: "console"})

    async def _found(self, request: Request, name: str, version: int, *, maps: bool) -> Any:
        async with request.form(max_files=self.limits.num_files, max_fields=8) as form:
            contents = [await file.read() for file in files_of(form)]
            return await anyio.to_thread.run_sync(
                lambda: self._score(contents, name, version, request.state.request_id, maps=maps),
                limiter=self._slot,
            )

    async def look(self, name: str, prediction: str, request_id: str) -> dict[str, Any]:
        """A kept picture as the version that scored it sees it, and the normal one nearest to it.

        Raises:
            NotFoundError: If the picture is not kept any more, or the version is gone.
        """
        return await anyio.to_thread.run_sync(
            self._look, name, prediction, request_id, limiter=self._slot
        )

    def _look(self, name: str, prediction: str, request_id: str) -> dict[str, Any]:
        from tasks.feedback.nearest import nearest

        item = inbox.find(name, prediction)
        paths = [inbox.picture_path(name, digest) for digest in item.files]
        contents = [path.read_bytes() for path in paths if path]
        if len(contents) < len(paths):
            raise NotFoundError(f"The pictures of {prediction} are not kept any more.")
        try:
            scored = self._score(contents, name, item.version, request_id, maps=True)
        except InvalidInputError:  # a detector of whole images
            scored = self._score(contents, name, item.version, request_id, maps=False)
        packaged = self._load(name, item.version).packaged
        frames = uploads.read_frames(contents, how=packaged.preprocessing, limits=self.limits)
        found = {"scored": scored, "nearest": nearest(packaged, frames.frames)}
        return dict(jsonable_encoder(found))

    async def there(self, request: Request, url: str, *, maps: bool) -> Response:
        """Hand a request on to a serving process, and its answer back as it is."""
        headers = {key: request.headers[key] for key in PASSED_ON if key in request.headers}
        headers["x-correlation-id"] = request.state.request_id
        try:
            async with httpx.AsyncClient(timeout=SECONDS, trust_env=False) as client:
                reply = await client.post(
                    f"{url}/predict",
                    params={"anomaly_map": "true" if maps else "false"},
                    content=request.stream(),
                    headers=headers,
                )
        except httpx.HTTPError as error:
            raise UnreachableError(
                f"The serving process at {url} must answer, got: {error or type(error).__name__}. "
                "Look at 'unseen status', or choose a version to be scored by the console itself."
            ) from error
        kept = {key: reply.headers[key] for key in ("retry-after",) if key in reply.headers}
        return Response(
            reply.content,
            reply.status_code,
            {**kept, ANSWERED_BY: url},
            media_type=reply.headers.get("content-type"),
        )

    def _score(
        self, contents: list[bytes], name: str, version: int, request_id: str, *, maps: bool
    ) -> Any:
        from tasks.serving import responses  # it brings in torch, for which the page must not wait

        deployed = self._load(name, version)
        how = deployed.packaged.preprocessing
        received = uploads.read_frames(contents, how=how, limits=self.limits)
        frames = received.frames
        try:
            found = deployed.packaged.predict(frames, anomaly_map=maps, batch_size=BATCH_SIZE)
        except RuntimeError as error:  # of torch, whose words say nothing of frames
            height, width = frames.shape[-2:]
            raise InvalidInputError(
                f"{name} version {version} cannot score frames of {width} x {height} pixels. Send "
                "them at the size it was trained on."
            ) from error
        return responses.scored(deployed, found, request_id, received.warnings)

    def _load(self, name: str, version: int) -> Any:
        """A version that is loaded and verified, by the digest that the registry has for it now."""
        from tasks.serving.champion import deploy

        registered = model_versions.resolve(mlflow_store.client(), name, version)
        digest = f"{name}@{version}:{registered.source}"
        with self._lock:
            if digest not in self._deployed:
                while len(self._deployed) >= KEPT:
                    self._deployed.popitem(last=False)
                self._deployed[digest] = deploy(registered)
            self._deployed.move_to_end(digest)
            return self._deployed[digest]


def passed_on(request: Request) -> Mapping[str, str]:
    """The key of a request, for the serving process that is asked on its behalf."""
    known = ("authorization", "x-api-key")
    return {key: request.headers[key] for key in known if key in request.headers}
