"""Serve: answer requests with the champion of a registered model, or with an exported detector.

``POST /predict`` scores images or a clip, ``GET /lineage`` says what the detector that answers was
made from, ``GET /health`` whether there is one, ``GET /drift`` whether what it is shown is still
like what it learned, ``/docs`` describes them all.
"""

import functools
import json
import logging
import os
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Annotated, Any

import anyio
import threadpoolctl
import uvicorn
from fastapi import FastAPI, Request, Response, Security
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.types import Scope

from tasks.packaging import program
from tasks.packaging.program import AUTO
from tasks.platform.listen import listen
from tasks.platform.logs import log_config
from tasks.serving import exported, pages
from tasks.serving.api_keys import PREDICT, Access, Keys, is_local, may, require
from tasks.serving.deployed import Source
from tasks.serving.forms import FILES, FORM
from tasks.serving.kept_pictures import Keep
from tasks.serving.middleware import Guard, answer, refusals
from tasks.serving.prometheus import CONTENT_TYPE, Metrics
from tasks.serving.responses import Scored
from tasks.serving.service import Service
from tasks.serving.uploads import Limits

log = logging.getLogger(__name__)

MOST_THREADS = 8
"""That compute one batch: more do not make it faster."""

KEEP_ALIVE_S = 75
"""How long an idle connection is kept: longer than usual load balancers keep theirs (60 s), whose
next request would else meet a connection that is being closed."""


def build_app(  # noqa: PLR0913
    source: str | Source,
    *,
    limits: Limits | None = None,
    poll_seconds: float = 2.0,
    false_alarm_rate: float | None = None,
    access: Access | None = None,
    log_predictions: bool = True,
    engine: str = AUTO,
    hosts: frozenset[str] | None = None,
    keep: Keep | None = None,
) -> FastAPI:
    """The app that serves a registered model.

    Args:
        source: Registered model whose champion answers; or where else the detector comes from, and
            then the time between two looks, false-alarm rate and engine are the source's own.
        limits: What a request may cost.
        poll_seconds: Time between two looks at the alias.
        false_alarm_rate: Share of normal frames that may be called anomalous; the champion's own
            threshold decides if None.
        access: Who may ask for what; as on a server that this machine alone can reach if None.
        log_predictions: Keep what was answered; see ``tasks.serving.monitoring.prediction_log``.
        engine: What scores; see ``tasks.packaging.program.choose``.
        hosts: Names under which it may be asked; None for any.
        keep: Pictures to keep; see ``tasks.serving.kept_pictures``.
    """
    limits = limits or Limits()
    if isinstance(source, str):
        from tasks.serving.champion import Champion  # an exported detector needs no registry

        source = Champion(
            source, poll_seconds=poll_seconds, false_alarm_rate=false_alarm_rate, engine=engine
        )
    service = Service(source, limits, log_predictions=log_predictions, keep=keep)
    name = source.name

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        service.start()
        yield
        await anyio.to_thread.run_sync(service.stop)

    app = FastAPI(title=f"unseen: {name}", lifespan=lifespan, docs_url=None, redoc_url=None)
    app.add_middleware(pages.Shield, hosts=hosts)
    app.add_middleware(Guard, limits=limits, record=functools.partial(record, service.metrics))
    app.add_exception_handler(HTTPException, answer)
    app.add_exception_handler(RequestValidationError, answer)
    app.state.service = service
    app.state.access = access or Access(Keys(), local=True)
    _add_addresses(app, service)  # first: addresses are tried in this order
    pages.add_entrance(app)
    return app


def _add_addresses(app: FastAPI, service: Service) -> None:
    """What the server answers; all but ``/health`` and pages need what ``may`` asks for."""
    body = {"required": True, "content": {"multipart/form-data": {"schema": FORM}, **FILES}}
    reading: Any = {"dependencies": [Security(may())], "responses": refusals(401, 503)}

    async def predict(
        request: Request,
        client: Annotated[str, Security(may(PREDICT))],
        *,
        anomaly_map: bool = False,
    ) -> Response:
        """Score images, or the frames of a clip."""
        found = await service.predict(request, client, anomaly_map=anomaly_map)
        return Response(json.dumps(found, default=vars), media_type="application/json")

    app.router.add_api_route(
        "/predict",
        predict,
        methods=["POST"],
        response_model=Scored,
        openapi_extra={"requestBody": body},
        responses=refusals(400, 401, 415, 422, 429, 503),
        route_class_override=Direct,
    )

    @app.get("/health", responses=refusals(503))
    async def health() -> dict[str, Any]:
        """Which version serves; 503 before the first is loaded."""
        return service.health()

    @app.get("/lineage", **reading)
    async def lineage() -> dict[str, Any]:
        """What the served version was made from."""
        return await service.lineage()

    @app.get("/drift", **reading)
    async def drift() -> dict[str, Any]:
        """Whether what the served version is shown is still like what it learned."""
        return await service.drift()

    reading["responses"] |= {200: {"content": {"text/plain": {"schema": {"type": "string"}}}}}

    @app.get("/metrics", response_class=Response, **reading)
    async def metrics() -> Response:
        """What Prometheus reads."""
        text = await anyio.to_thread.run_sync(service.metrics.text)
        return Response(text, media_type=CONTENT_TYPE)


class Direct(APIRoute):
    """A route that calls its endpoint at once, for who may predict, where there are no parameters.

    FastAPI works out anew for each request what an endpoint is called with, which takes it longer
    than it takes to decode an image.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """What answers a request."""
        ordinary = super().get_route_handler()

        async def direct(request: Request) -> Response:
            if request.scope["query_string"]:
                return await ordinary(request)
            found: Response = await self.endpoint(request, require(request, PREDICT))
            return found

        return direct


def share_cores() -> None:
    """Leave what scores one core less than there are: one is for HTTP, decoding and Python.

    A program to which an image is much work gets all: then the rest is little.
    Where more threads compute than there are cores, most of their time is spent in waiting for each
    other. ``OMP_NUM_THREADS`` says otherwise; torch reads it too, when it is imported. NumPy's own
    threads spin after each product, on the core that answers: it has one.
    """
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    threadpoolctl.threadpool_limits(1, user_api="blas")
    if "OMP_NUM_THREADS" in os.environ:
        return
    cores = os.cpu_count() or 1
    num = min(max(cores - 1, 1), MOST_THREADS)
    program.heavy_threads = min(cores, MOST_THREADS)
    os.environ["OMP_NUM_THREADS"] = str(num)
    if (torch := sys.modules.get("torch")) is not None:
        torch.set_num_threads(num)


def record(metrics: Metrics, scope: Scope, status: int, seconds: float) -> None:
    """Count an answered request, and log it in one line."""
    metrics.request(getattr(scope.get("route"), "path", "other"), status, seconds)
    facts = {
        "request_id": scope["state"]["request_id"],
        "correlation_id": scope["state"]["correlation_id"],
        "method": scope["method"],
        "path": scope["path"],
        "status": status,
        "seconds": round(seconds, 6),
        "client": scope["client"][0] if scope.get("client") else None,
        **scope["state"].get("facts", {}),
    }
    log.info("request", extra={"facts": facts})


def _check_champion(name: str) -> None:
    from tasks.registry import model_versions, quick_reads

    model_versions.resolve(quick_reads.reader(), name, model_versions.CHAMPION)


def serve(  # noqa: PLR0913
    name: str,
    host: str = "127.0.0.1",
    port: int = 8000,
    *,
    limits: Limits | None = None,
    poll_seconds: float = 2.0,
    false_alarm_rate: float | None = None,
    wait: bool = False,
    access: Access | None = None,
    log_predictions: bool = True,
    engine: str = AUTO,
    keep: Keep | None = None,
) -> None:
    """Serve the champion of a registered model until interrupted; ``build_app`` has the options.

    If ``name`` is a folder that ``unseen export`` wrote, what is in it answers, whatever is
    registered, and neither MLflow nor torch is needed.

    Raises:
        NotFoundError: If there is no such model, or it has no champion, and ``wait`` is not set:
            then every request is answered 503 until there is one.
        InvalidInputError: If the address cannot be used, or would be open to other machines.
    """
    access = access or Access(Keys(), local=is_local(host))
    access.check()
    source: str | Source = name
    share_cores()
    if exported.is_one(name):
        source = exported.Exported(Path(name), false_alarm_rate=false_alarm_rate, engine=engine)
        name = source.name
    elif not wait:
        _check_champion(name)
    # The follower asks again soon anyhow: it must not be stuck in MLflow's own minutes of retries.
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "30")
    listener = listen(host, port)
    app = build_app(
        source,
        limits=limits,
        poll_seconds=poll_seconds,
        false_alarm_rate=false_alarm_rate,
        access=access,
        log_predictions=log_predictions,
        engine=engine,
        keep=keep,
        hosts=pages.LOCAL_NAMES | {host.lower()} if is_local(host) else None,
    )
    config = uvicorn.Config(
        app,
        server_header=False,
        timeout_graceful_shutdown=10,
        timeout_keep_alive=KEEP_ALIVE_S,
        log_config=log_config(),
    )
    address = f"[{host}]" if ":" in host else host
    if access.is_open():
        log.warning("Predictions need no key: whoever reaches %s may ask for them.", address)
    log.info("%s answers at http://%s:%d; see /docs there.", name, address, port)
    with listener, suppress(KeyboardInterrupt):
        uvicorn.Server(config).run(sockets=[listener])
