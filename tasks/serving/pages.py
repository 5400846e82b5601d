"""Pages: the files that a browser shows, and what it must not do with them.

Everything comes from this server: no script, style or picture of another one, and no script or
style inside of a page.
"""

from pathlib import Path

from fastapi import FastAPI
from fastapi.responses import FileResponse
from starlette.datastructures import Headers
from starlette.responses import JSONResponse, RedirectResponse
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tasks.platform import background

PROCESS = "console"
"""Name of the console among the background processes."""
LOCAL_NAMES = frozenset({"127.0.0.1", "localhost", "::1"})
"""Of this machine, which no name of somebody else's can stand for."""
ASSETS = Path(__file__).parents[1] / "console" / "assets"
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; "
    "media-src blob:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
)
"""No markup is ever made of data: scripts cannot even try to."""
FOREIGN_POLICY = (
    "sandbox; default-src 'none'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "frame-ancestors 'none'"
)
"""For pages that other tools have written: they may look as they like, and do nothing."""
SECURE = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
}
HEADERS = [
    (name.lower().encode(), value.encode())
    for name, value in (
        *SECURE.items(),
        ("Content-Security-Policy", POLICY),
        ("Cache-Control", "no-cache"),
    )
]
"""Of every answer that has none of that name, as they are sent."""


class Shield:
    """ASGI middleware: secure headers on every answer, and none to pages of other sites.

    A browser names the site whose page makes it send something in ``Origin``.

    Args:
        app: What is shielded.
        hosts: Names under which the server may be asked, without port; None for any. A page of
            somebody else's that has its own name point here would otherwise read along.
    """

    def __init__(self, app: ASGIApp, hosts: frozenset[str] | None = None) -> None:
        self.app, self.hosts = app, hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let one request through to the app."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def shielded(message: Message) -> None:
            if message["type"] == "http.response.start":
                there = list(message.get("headers", ()))
                names = {name.lower() for name, _ in there}
                added = [header for header in HEADERS if header[0] not in names]
                message = {**message, "headers": there + added}
            await send(message)

        refused = self._refusal(Headers(scope=scope))
        if refused is None:
            await self.app(scope, receive, shielded)
            return
        status, sentence = refused
        known = scope.get("state", {}).get("request_id")
        told = {"error": sentence, **({"request_id": known} if known else {})}
        await JSONResponse(told, status)(scope, receive, shielded)

    def _refusal(self, headers: Headers) -> tuple[int, str] | None:
        asked, origin = headers.get("host", ""), headers.get("origin")
        if self.hosts is not None and host_of(asked) not in self.hosts:
            known = ", ".join(sorted(self.hosts))
            return (
                421,
                f"This server answers as {known}, got {host_of(asked)!r}. Ask under one of these.",
            )
        own = headers.get("sec-fetch-site") in ("same-origin", "none")  # no page can set this
        if (
            origin is not None
            and not own
            and origin.partition("://")[2].lower() != asked.strip().lower()
        ):
            return 403, f"Pages of other sites must not ask this server; got one of {origin!r}."
        return None


def host_of(header: str) -> str:
    """The host of a ``Host`` header, without port and brackets, in small letters."""
    name = header.strip().lower()
    if name.startswith("["):
        return name[1:].partition("]")[0]
    return name.partition(":")[0]


def add_docs(app: FastAPI) -> None:
    """Give an app a page ``/docs`` that lists its addresses, and works without internet."""
    app.mount("/assets", StaticFiles(directory=ASSETS), name="assets")

    @app.get("/docs", include_in_schema=False)
    async def docs() -> FileResponse:
        return FileResponse(ASSETS / "docs.html", headers={"Content-Security-Policy": POLICY})


def add_entrance(app: FastAPI) -> None:
    """Give a serving process ``/docs``, and ``/``, which leads to the console if one runs."""
    add_docs(app)

    @app.get("/", include_in_schema=False)
    def begin() -> RedirectResponse:
        console = background.find(PROCESS)
        return RedirectResponse(console.url if console else "/docs")
