"""What stands between the network and the app: request ids, limits, errors as JSON.

Every response, whoever made it, carries ``X-Request-ID``, which is the server's own and never
twice the same; an id that the client sent as ``X-Correlation-ID`` comes back as such, and is
logged. Every error is a JSON object ``{"error": sentence, "request_id": ...}``. A body that is too
long or too slow is refused while it arrives.
"""

import asyncio
import itertools
import logging
import re
import time
import uuid
from collections.abc import Callable
from typing import Any

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from typing_extensions import TypedDict

from models.errors import UnseenError
from tasks.serving.uploads import Limits, TooLargeError

log = logging.getLogger(__name__)

PROCESS, NUMBERS = uuid.uuid4().hex[:20], itertools.count()
"""Of which the ids of requests are made: random, then counted."""
LINGER_SECONDS = 5.0
"""How long the rest of a refused body is thrown away, so that its sender gets to read why."""
Record = Callable[[Scope, int, float], None]
CLIENT_WENT_AWAY = 499
"""Status under which a request is recorded that nobody waited for."""


class Refusal(TypedDict):
    """What every error says."""

    error: str
    request_id: str


def refusals(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Errors that an address may answer with, for its description: every one may be 421 or 500."""
    return {status: {"model": Refusal} for status in (*statuses, 403, 408, 413, 421, 500)}


class TooSlowError(UnseenError):
    """A request did not arrive in time."""

    http_status = 408


class Guard:
    """ASGI middleware that gives each request its id, its limits and its error messages.

    Args:
        app: The app behind it.
        limits: What a request may cost.
        record: Is told of each request that was answered: its scope, in whose ``state`` the app
            may have left ``facts``, the status, and the seconds it took.
    """

    def __init__(
        self,
        app: ASGIApp,
        limits: Limits,
        record: Callable[[Scope, int, float], None] | None = None,
    ) -> None:
        self.app = app
        self.limits = limits
        self.record = record or (lambda *_: None)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let one request through to the app."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started = time.perf_counter()
        exchange = _Exchange(scope, receive, send, self.limits)
        state = scope.setdefault("state", {})
        state["request_id"] = exchange.request_id
        state["correlation_id"] = exchange.correlation_id
        try:
            exchange.check_length()
            await self.app(scope, exchange.receive, exchange.send)
        except ClientDisconnect:
            exchange.status = CLIENT_WENT_AWAY
        except Exception as error:
            await exchange.fail(error)
        finally:
            self.record(scope, exchange.status, time.perf_counter() - started)


class _Exchange:
    """One request and its response."""

    def __init__(self, scope: Scope, receive: Receive, send: Send, limits: Limits) -> None:
        self._scope, self._receive, self._send = scope, receive, send
        self._limits = limits
        self._headers = Headers(scope=scope)
        given = self._headers.get("x-correlation-id", "")
        valid = re.fullmatch(r"[\w.:-]{1,64}", given, re.ASCII)
        self.correlation_id = given if valid else None
        self.request_id = f"{PROCESS}{next(NUMBERS):012x}"
        self._deadline = time.monotonic() + limits.body_seconds
        self._received = 0
        self._arriving = "content-length" in self._headers or "transfer-encoding" in self._headers
        self._started = False
        self.status = CLIENT_WENT_AWAY

    def check_length(self) -> None:
        """Refuse a body that admits to being too long, before a byte of it is read."""
        length = self._headers.get("content-length", "0")
        if not length.isdecimal() or int(length) > self._limits.body_bytes:
            raise self._too_large(length)

    async def receive(self) -> Message:
        """The next part of the body, as long as the limits allow."""
        if not self._arriving:
            return await self._receive()
        try:
            async with asyncio.timeout(max(0.0, self._deadline - time.monotonic())):
                message = await self._receive()
        except TimeoutError as error:
            raise TooSlowError(
                f"A request must arrive within {self._limits.body_seconds:g} s. Send less at once."
            ) from error
        self._arriving = message["type"] == "http.request" and message.get("more_body", False)
        self._received += len(message.get("body", b""))
        if self._received > self._limits.body_bytes:
            raise self._too_large("more")
        return message

    def _too_large(self, got: str) -> TooLargeError:
        return TooLargeError(
            f"A request may have {self._limits.body_bytes} bytes, got {got}. Send fewer or smaller "
            "files."
        )

    async def send(self, message: Message) -> None:
        """Send a part of the response; the connection ends with it if the body was not read."""
        if message["type"] == "http.response.start":
            self._started, self.status = True, message["status"]
            headers = MutableHeaders(scope=message)
            headers["X-Request-ID"] = self.request_id
            if self.correlation_id:
                headers["X-Correlation-ID"] = self.correlation_id
            if self._arriving:
                headers["Connection"] = "close"
        elif self._arriving and not message.get("more_body", False):
            await self._send({**message, "more_body": True})
            await self._drain()
            message = {"type": "http.response.body", "body": b""}
        await self._send(message)

    async def _drain(self) -> None:
        """Throw away the rest of the body: a reset connection would swallow the response."""
        try:
            async with asyncio.timeout(LINGER_SECONDS):
                while self._arriving:
                    message = await self._receive()
                    self._arriving = message.get("more_body", False)
        except TimeoutError:
            log.info("%s: the rest of the body was not awaited.", self.request_id)

    async def fail(self, error: Exception) -> None:
        """Answer what the app let through; only the log learns more than the sentence."""
        if self._started:
            raise error
        response = to_response(error, self.request_id)
        if response.status_code == 500:
            log.error("%s: the request failed.", self.request_id, exc_info=error)
        await response(self._scope, self._receive, self.send)


async def answer(request: Request, error: Exception) -> JSONResponse:
    """Exception handler of the app."""
    return to_response(error, request.state.request_id)


def to_response(error: Exception, request_id: str) -> JSONResponse:
    """The JSON that tells the sender what went wrong, and never how the server is built."""
    status, sentence = _explain(error)
    headers = dict(getattr(error, "headers", None) or {})
    return JSONResponse({"error": sentence, "request_id": request_id}, status, headers)


def _explain(error: Exception) -> tuple[int, str]:
    if isinstance(error, UnseenError) and error.http_status != 500:
        return error.http_status, str(error)
    if isinstance(error, HTTPException):
        return error.status_code, str(error.detail)
    if isinstance(error, RequestValidationError):
        found = "; ".join(
            f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors()
        )
        return 422, f"The request cannot be used: {found}."
    return 500, "The server failed. Its log has more, under this request id."
