"""The console's server: the page at ``/``, and under ``/api`` all that it shows and does.

It is a process of its own, and no part of the serving ones: it shows all detectors, reads the whole
registry and may change it, and a process that answers predictions should do nothing else.
"""

import logging
import threading
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Annotated

import uvicorn
from fastapi import FastAPI, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse

from models.errors import InvalidInputError, UnseenError
from tasks.console import changes, inbox, overview, reads
from tasks.console.reads import Name
from tasks.console.serving import Serving
from tasks.console.tries import Tries
from tasks.platform.listen import listen
from tasks.platform.logs import log_config
from tasks.registry import mlflow_store, model_versions
from tasks.serving import pages
from tasks.serving.api_keys import PREDICT, Access, Keys, is_local, require
from tasks.serving.forms import FORM
from tasks.serving.middleware import Guard, answer, to_response
from tasks.serving.uploads import Limits

log = logging.getLogger(__name__)

USUAL_PORT = 8900
"""Where the console answers if nothing else does."""
ANYWHERE = ("0.0.0.0", "::", "")  # noqa: S104 - they are recognised here, not listened on


def build_console(
    *,
    access: Access | None = None,
    serving: Mapping[str, str] | None = None,
    hosts: frozenset[str] | None = None,
    limits: Limits | None = None,
) -> FastAPI:
    """The app of the console.

    Args:
        access: Who may do what; as on a server that this machine alone can reach if None.
        serving: Addresses of serving processes by model, beside those that ``unseen up`` started.
        hosts: Names under which it may be asked; None for any.
        limits: What a request may cost.
    """
    limits = limits or Limits()
    app = FastAPI(title="unseen console", docs_url=None, redoc_url=None, lifespan=_lifespan)
    app.add_middleware(Guard, limits=limits)
    app.add_middleware(pages.Shield, hosts=hosts)
    app.add_exception_handler(HTTPException, answer)
    app.add_exception_handler(RequestValidationError, answer)
    app.add_exception_handler(UnseenError, _tell)
    app.state.access = access or Access(Keys(), local=True)
    app.state.serving = Serving(serving)
    app.state.tries = Tries(limits)
    app.include_router(reads.router, tags=["look"])
    app.include_router(changes.router, tags=["decide"])
    app.include_router(inbox.router, tags=["judge"])
    body = {"required": True, "content": {"multipart/form-data": {"schema": FORM}}}

    @app.post("/api/detectors/{name}/predict", tags=["try"], openapi_extra={"requestBody": body})
    async def predict(
        request: Request,
        name: Name,
        version: Annotated[
            int | None, Query(ge=1, description="Scored by the console; else the champion.")
        ] = None,
        *,
        anomaly_map: bool = True,
    ) -> Response:
        """Score images, or the frames of a clip, as ``POST /predict`` of the serving process."""
        return await _predict(request, name, version, maps=anomaly_map)

    @app.get("/", include_in_schema=False)
    async def page() -> FileResponse:
        return FileResponse(pages.ASSETS / "index.html")

    pages.add_docs(app)
    return app


@asynccontextmanager
async def _lifespan(_: FastAPI) -> AsyncIterator[None]:
    """Open the store before anybody waits for it."""
    threading.Thread(target=_warm_up, daemon=True).start()
    yield


def _warm_up() -> None:
    with suppress(UnseenError):
        overview.detectors(mlflow_store.client())


async def _predict(request: Request, name: str, version: int | None, *, maps: bool) -> Response:
    await run_in_threadpool(require, request, PREDICT)
    tries: Tries = request.app.state.tries
    serving: Serving = request.app.state.serving
    url = serving.url(name) if version is None else None
    if url:
        return await tries.there(request, url, maps=maps)
    if version is None:
        version = await run_in_threadpool(_champion, name)
    return await tries.here(request, name, version, maps=maps)


def _champion(name: str) -> int:
    return int(model_versions.resolve(mlflow_store.client(), name, model_versions.CHAMPION).version)


async def _tell(request: Request, error: Exception) -> JSONResponse:
    """What went wrong; here, operators read it, so that a failure of ours is told as well."""
    if getattr(error, "http_status", 500) != 500:
        return to_response(error, request.state.request_id)
    log.warning("%s: the request failed.", request.state.request_id, exc_info=error)
    return JSONResponse({"error": str(error), "request_id": request.state.request_id}, 503)


def console(
    host: str = "127.0.0.1",
    port: int = USUAL_PORT,
    *,
    serving: Mapping[str, str] | None = None,
    host_names: tuple[str, ...] = (),
    open_to_all: bool = False,
    key_file: Path | None = None,
) -> None:
    """Run the console until interrupted.

    Args:
        host: Address to listen on.
        port: To listen on.
        serving: As in ``build_console``.
        host_names: More names under which it may be asked, such as that of a proxy.
        open_to_all: Whoever reaches it may look and predict without a key.
        key_file: Of the keys; that of the repository if None.

    Raises:
        InvalidInputError: If the address cannot be used, or nobody would be kept out.
    """
    access = Access(Keys(key_file), local=is_local(host), open_to_all=open_to_all)
    access.check()
    if host in ANYWHERE and not host_names:
        raise InvalidInputError(
            f"A console that listens on {host or 'every address'} must be told under which names "
            "it is asked. Give them with --host-name."
        )
    app = build_console(
        access=access, serving=serving, hosts=pages.LOCAL_NAMES | {host.lower(), *host_names}
    )
    config = uvicorn.Config(
        app, server_header=False, timeout_graceful_shutdown=5, log_config=log_config()
    )
    with listen(host, port) as listener, suppress(KeyboardInterrupt):
        address = f"[{host}]" if ":" in host else host
        log.info("The console is at http://%s:%d", address, port)
        uvicorn.Server(config).run(sockets=[listener])
