"""Addresses of the stores and servers: one spelling for our own, and no proxy on the way to them.

Whoever exports the address of a server that ``unseen`` has started, or of its database, means what
would be used without it. And what answers on this machine is never asked for through a proxy, by us
or by a child process.
"""

import json
import os
import socket
from pathlib import Path
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

from tasks.platform import settings, workspace

TRACKING = "MLFLOW_TRACKING_URI"
LOOPBACK = ("127.0.0.1", "localhost", "::1")
SQLITE = "sqlite:///"
STOPPED = ".stopped"
"""Ends the name of the record of a background process that was stopped."""


def tracking_uri() -> str:
    """The address in ``MLFLOW_TRACKING_URI``; that of our own database however it is spelled."""
    own = workspace.home() / "mlflow.db"
    given = settings.read().mlflow_tracking_uri
    return f"{SQLITE}{own}" if not given or _means(given, own) else given


def shown(uri: str) -> str:
    """An address as it may be printed: without user and password."""
    address = urlsplit(uri)
    if "@" not in address.netloc:
        return uri  # to put it together again could change its slashes
    return address._replace(netloc=address.netloc.rpartition("@")[2]).geturl()


def is_server(uri: str) -> bool:
    """Whether an address is one of HTTP."""
    return uri.startswith(("http://", "https://"))


def is_own(url: str, name: str) -> bool:
    """Whether an address is the one at which the background process of this name was started.

    So is the last address of one that was stopped, as long as nobody else answers there.
    """
    record = workspace.home() / "processes" / f"{name}.json"
    if _plain(url) == _recorded(record):
        return True
    return _plain(url) == _recorded(record.with_suffix(STOPPED)) and not _answers(url)


def _recorded(record: Path) -> str:
    try:
        known = json.loads(record.read_text())["url"]
        return _plain(known) if known else ""
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return ""


def _answers(url: str) -> bool:
    parsed = urlsplit(url)
    try:
        socket.create_connection((parsed.hostname or "", parsed.port or 80), timeout=1).close()
    except OSError:
        return False
    return True


def _means(uri: str, own: Path) -> bool:
    if is_server(uri):
        return is_own(uri, "mlflow")
    path = uri.removeprefix(SQLITE)
    if uri.startswith("file:"):
        path = unquote(urlsplit(uri).path)
    return "://" not in path and Path(path).absolute() == own


def _plain(url: str) -> str:
    """An address without what does not tell it from others."""
    parsed = urlsplit(url)
    host = "localhost" if parsed.hostname in LOOPBACK else parsed.hostname
    return f"{parsed.scheme}://{host}:{parsed.port}{parsed.path.rstrip('/')}"


def bypass_proxy() -> None:
    """Let nobody in this process, or in its children, ask a proxy for what is on this machine."""
    if not any(getproxies().values()):
        return
    for name in ("NO_PROXY", "no_proxy"):
        known = [each.strip() for each in os.environ.get(name, "").split(",") if each.strip()]
        if "*" not in known:
            os.environ[name] = ",".join(dict.fromkeys([*known, *LOOPBACK]))


def through(url: str) -> str:
    """Which proxy an address is asked through, as the end of an error message; empty if none."""
    parsed = urlsplit(url)
    proxy = getproxies().get(parsed.scheme) or getproxies().get("all")
    if not is_server(url) or not proxy or proxy_bypass(parsed.hostname or ""):
        return ""
    shown = urlsplit(proxy)._replace(netloc=urlsplit(proxy).netloc.rpartition("@")[2]).geturl()
    return (
        f" It was asked through the proxy {shown} that {parsed.scheme.upper()}_PROXY names; if "
        f"{parsed.hostname} needs none, add it to NO_PROXY."
    )
