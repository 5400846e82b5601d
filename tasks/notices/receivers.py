"""Receivers: who is told of what, by addresses that apprise understands; they hold secrets.

They are kept in ``.unseen/notices.json``, which its owner alone can read, and stand in no log and
no message: a receiver is called by its number and the service it is of.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from filelock import FileLock

from models.errors import InvalidInputError, NotFoundError, UnseenError
from tasks.platform import files, workspace

TOPICS = ("alarm", "drift", "refused", "failed", "promotion")
"""A picture raised an alarm; drift was found; data failed validation; a flow failed; another
version serves."""


@dataclass(frozen=True, kw_only=True)
class Receiver:
    """Somebody who is told."""

    number: int
    url: str
    """As apprise has them, with whatever secrets it holds."""
    topics: tuple[str, ...]
    every: float
    """Seconds between two messages at least: what happens meanwhile is told in one."""

    @property
    def called(self) -> str:
        """Its number and service, without secrets."""
        return f"receiver {self.number} ({self.url.partition(':')[0]})"


def add(url: str, topics: Sequence[str], every: float = 60.0) -> Receiver:
    """Tell somebody from now on.

    Raises:
        InvalidInputError: If apprise does not know such addresses, or there is no such topic.
    """
    from apprise import Apprise

    if unknown := [topic for topic in topics if topic not in TOPICS] or not topics:
        told = ", ".join(unknown) if isinstance(unknown, list) else "none"
        raise InvalidInputError(f"--on must be some of {', '.join(TOPICS)}, got {told}.")
    if not every >= 0:
        raise InvalidInputError(f"--every must be at least 0 seconds, got {every}.")
    if Apprise.instantiate(url) is None:
        service = url.partition("://")[0] if "://" in url else "no service"
        raise InvalidInputError(
            "The address must be one that apprise knows, such as mailto://, slack:// or json://, "
            f"got one of {service!r}, which it cannot use. 'unseen notify add --help' says where "
            "they are listed."
        )
    with _lock():
        known = read()
        number = max((each.number for each in known), default=0) + 1
        made = Receiver(number=number, url=url, topics=tuple(topics), every=every)
        _write([*known, made])
    return made


def remove(number: int) -> None:
    """Tell somebody no more, nor what still waits.

    Raises:
        NotFoundError: If there is no such receiver.
    """
    with _lock():
        known = read()
        left = [each for each in known if each.number != number]
        if len(left) == len(known):
            names = ", ".join(str(each.number) for each in known) or "none"
            raise NotFoundError(f"There is no receiver {number}. Receivers: {names}.")
        _write(left)


def read() -> tuple[Receiver, ...]:
    """All receivers.

    Raises:
        UnseenError: If the file cannot be understood; what it holds is not told.
    """
    try:
        rows = json.loads(_path().read_text())["receivers"]
        return tuple(Receiver(**{**row, "topics": tuple(row["topics"])}) for row in rows)
    except FileNotFoundError:
        return ()
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise UnseenError(
            f"{_path()} must be readable, got {type(error).__name__}. Restore it, or remove it and "
            "add the receivers anew with 'unseen notify add'."
        ) from None


def _path() -> Path:
    return workspace.home() / "notices.json"


def _lock() -> FileLock:
    return FileLock(_path().with_suffix(".lock"), mode=0o600)


def _write(known: Sequence[Receiver]) -> None:
    text = json.dumps({"receivers": [asdict(each) for each in known]}, indent=2)
    files.write(_path(), text, mode=0o600)
