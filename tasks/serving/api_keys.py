"""Access: who may ask a server for what, by keys of which only digests are kept.

A token holds 256 random bits, so that its plain SHA-256 cannot be guessed back, and is compared in
constant time. The file of keys is read again whenever it changes: a key that is added or removed
counts at once, without a restart.
"""

import hashlib
import ipaddress
import json
import secrets
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, ClassVar

from fastapi import Security
from fastapi.security import APIKeyHeader, HTTPBearer
from filelock import FileLock
from starlette.requests import Request

from models.errors import InvalidInputError, NotFoundError, UnseenError
from tasks.platform import files, workspace

PREDICT = "predict"
"""Right to have images scored."""
PROMOTE = "promote"
"""Right to decide which version serves."""
LABEL = "label"
"""Right to say what a kept picture shows, and to have judged pictures brought into the data."""
RIGHTS = (PREDICT, PROMOTE, LABEL)
BEARER = HTTPBearer(auto_error=False, description="A token that 'unseen keys add' printed.")
HEADER = APIKeyHeader(name="X-API-Key", auto_error=False, description="The same token.")
ANYBODY = ""
"""Name of who asks without a key, where none is needed."""
TOKEN_BYTES = 32
LONGEST_NAME = 64


class UnknownKeyError(UnseenError):
    """A request carries no key, or none that is known."""

    http_status = 401
    headers: ClassVar[dict[str, str]] = {"WWW-Authenticate": "Bearer"}


class ForbiddenError(UnseenError):
    """A key lacks the right for what it is used for."""

    http_status = 403


@dataclass(frozen=True, kw_only=True)
class Key:
    """What is kept of a key."""

    name: str
    """Who holds it; decisions are recorded under this name."""
    digest: str
    """SHA-256 of its token, in hexadecimal digits."""
    rights: tuple[str, ...]
    """Some of ``RIGHTS``; neither includes the other."""
    created: str
    """UTC, ISO 8601."""


class Keys:
    """The keys in a file that its owner alone can read.

    Args:
        path: The file; ``.unseen/keys.json`` if None. It need not exist.
    """

    def __init__(self, path: Path | None = None) -> None:
        self.path = path or workspace.home() / "keys.json"
        self._known: tuple[Key, ...] = ()
        self._stamp: tuple[int, int, int] | None = None

    def read(self) -> tuple[Key, ...]:
        """All keys, in the order in which they were added.

        Raises:
            UnseenError: If the file cannot be read: then nobody may be let in.
        """
        try:
            status = self.path.stat()
            stamp = (status.st_mtime_ns, status.st_size, status.st_ino)
            if stamp != self._stamp:
                rows = json.loads(self.path.read_text())["keys"]
                self._known = tuple(Key(**{**row, "rights": tuple(row["rights"])}) for row in rows)
                self._stamp = stamp
        except FileNotFoundError:
            self._known, self._stamp = (), None
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise UnseenError(
                f"The keys must be readable in {self.path}, got: {error}. Restore the file, or "
                "remove it and add the keys anew."
            ) from error
        return self._known

    def add(self, name: str, rights: Sequence[str]) -> str:
        """Make a key; its token is returned this once and kept nowhere.

        Args:
            name: Who will hold it.
            rights: One or more of ``RIGHTS``.

        Raises:
            InvalidInputError: If the name is taken or is none, or there is no such right.
        """
        if not rights or not set(rights) <= set(RIGHTS):
            raise InvalidInputError(
                f"A key needs one or more of the rights {', '.join(RIGHTS)}; got "
                f"{', '.join(rights) or 'none'}."
            )
        if not name.isprintable() or not 0 < len(name.strip()) <= LONGEST_NAME:
            raise InvalidInputError(
                f"The name of a key must have 1 to {LONGEST_NAME} printable characters, got "
                f"{name!r}."
            )
        token = f"unseen_{secrets.token_urlsafe(TOKEN_BYTES)}"
        created = datetime.now(UTC).isoformat(timespec="seconds")
        chosen = tuple(right for right in RIGHTS if right in rights)
        key = Key(name=name.strip(), digest=digest_of(token), rights=chosen, created=created)
        with self._lock():
            known = self.read()
            if key.name in {each.name for each in known}:
                raise InvalidInputError(
                    f"There is a key named {key.name!r} already. Choose another name, or remove "
                    "that one first."
                )
            self._write((*known, key))
        return token

    def remove(self, name: str) -> None:
        """Forget a key; whoever holds its token is refused from now on.

        Raises:
            NotFoundError: If there is none of that name.
        """
        with self._lock():
            known = self.read()
            left = tuple(key for key in known if key.name != name)
            if left == known:
                names = ", ".join(key.name for key in known) or "none"
                raise NotFoundError(f"There is no key named {name!r}. Keys: {names}.")
            self._write(left)

    def find(self, token: str) -> Key | None:
        """The key of a token; takes as long whichever it is, or none."""
        digest, found = digest_of(token), None
        for key in self.read():
            if secrets.compare_digest(key.digest, digest):
                found = key
        return found

    def _lock(self) -> FileLock:
        return FileLock(self.path.with_suffix(".lock"), mode=0o600)

    def _write(self, keys: tuple[Key, ...]) -> None:
        """Replace the file, as a whole or not at all."""
        text = json.dumps({"keys": [asdict(key) for key in keys]}, indent=2)
        files.write(self.path, text, mode=0o600)


class Access:
    """The door of one server.

    To predict, and to read what a server tells of its detector, no key is needed on a server that
    this machine alone can reach as long as there is none with the right ``predict``, nor where
    ``open_to_all`` says so. To promote and to label, one is always needed.

    Args:
        keys: Who may come in.
        local: Only this machine can reach the server.
        open_to_all: Whoever reaches the server may predict.
    """

    def __init__(self, keys: Keys, *, local: bool, open_to_all: bool = False) -> None:
        self.keys, self.local, self.open_to_all = keys, local, open_to_all

    def is_open(self) -> bool:
        """Whether predictions need no key now."""
        if self.open_to_all or not self.local:
            return self.open_to_all
        return not any(PREDICT in key.rights for key in self.keys.read())

    def check(self) -> None:
        """Refuse to open a server to a network without having been told so.

        Raises:
            InvalidInputError: If others can reach the server, and nobody has a key to predict.
        """
        if self.is_open() or any(PREDICT in key.rights for key in self.keys.read()):
            return
        raise InvalidInputError(
            "A server that other machines can reach must have a key with the right 'predict', and "
            f"there is none in {self.keys.path}. Make one with 'unseen keys add NAME --right "
            "predict', or let everybody predict with --open."
        )

    def require(self, request: Request, right: str | None = None) -> str:
        """The name of the key that a request carries; ``ANYBODY`` if it needs none.

        Args:
            request: Its key is in ``Authorization: Bearer TOKEN`` or in ``X-API-Key: TOKEN``.
            right: What it wants to do; None for what every key may: read.

        Raises:
            UnknownKeyError: If it has no key and needs one, or has one that is not known.
            ForbiddenError: If its key lacks the right.
        """
        token = token_of(request)
        if token is None:
            if right not in (PROMOTE, LABEL) and self.is_open():
                return ANYBODY
            raise UnknownKeyError(
                "A key is needed for this. Send it as 'Authorization: Bearer TOKEN'; who runs the "
                "server makes one with 'unseen keys add'."
            )
        key = self.keys.find(token)
        if key is None:
            raise UnknownKeyError("This key is not known, or no longer. Ask for another.")
        if right is not None and right not in key.rights:
            raise ForbiddenError(
                f"This needs a key with the right {right!r}; that of {key.name!r} has "
                f"{', '.join(key.rights)}."
            )
        return key.name


def require(request: Request, right: str | None = None) -> str:
    """``Access.require`` of the app that the request came to, which has it as ``state.access``."""
    access: Access = request.app.state.access
    return access.require(request, right)


def may(right: str | None = None) -> Callable[..., Awaitable[str]]:
    """A security dependency for FastAPI: the name of the key, if it has a right.

    Args:
        right: As in ``Access.require``.
    """

    async def entered(
        request: Request,
        bearer: Annotated[object, Security(BEARER)],  # noqa: ARG001 - they describe what is read
        key: Annotated[object, Security(HEADER)],  # noqa: ARG001
    ) -> str:
        return require(request, right)

    return entered


def token_of(request: Request) -> str | None:
    """The token that a request carries; None if it carries none."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return token.strip()
    return request.headers.get("x-api-key")


def digest_of(token: str) -> str:
    """What is kept of a token."""
    return hashlib.sha256(token.encode()).hexdigest()


def is_local(host: str) -> bool:
    """Whether only this machine can reach a server that listens there."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
