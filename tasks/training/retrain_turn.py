"""Turns: one retrain of a registered model at a time.

Whoever has the turn holds a lock, which ends with its process, however that ends:
nobody waits for the dead. A note beside the lock says who it is. If it is still there when the next
one on this machine takes its turn, the one before was killed or failed, perhaps because a store did
not answer, and what it left is cleared away.
"""

import json
import logging
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from filelock import Timeout

from models.errors import InvalidInputError, UnseenError
from tasks.platform import files, flow_run, workspace
from tasks.platform.locks import Lock
from tasks.registry import history
from tasks.registry.who import who
from tasks.training import crash_remains

log = logging.getLogger(__name__)

CHOICES = ("wait", "refuse")
"""What a second retrain of a model can do."""
POLL_SECONDS = 0.5


class OccupiedError(UnseenError):
    """The model is being retrained by somebody else."""

    exit_code = 4


class NotYetError(UnseenError):
    """The model is being retrained by somebody else, and a worker can come back later."""

    seconds = 30.0
    """Until it is worth to ask again."""


@contextmanager
def turn(name: str, if_busy: str = "wait") -> Iterator[None]:
    """Have a registered model to oneself while a challenger for it is made.

    Args:
        name: The registered model.
        if_busy: ``wait`` until whoever has it is done, or ``refuse``.

    Raises:
        OccupiedError: If somebody has it and one should not wait.
        NotYetError: If somebody has it, and this flow run can be run again later by its worker,
            whose place it would take by waiting.
        InvalidInputError: If ``if_busy`` is neither.
    """
    if if_busy not in CHOICES:
        raise InvalidInputError(f"if_busy must be one of {', '.join(CHOICES)}, got {if_busy!r}.")
    lock = Lock(f"{name}.retrain")
    note = workspace.home() / f"{name}.retrain.json"
    try:
        lock.acquire(wait=False)
    except Timeout as error:
        if if_busy == "refuse":
            raise OccupiedError(
                f"{name} must be retrained by one at a time, and {holder(name)} is at it. Try "
                "again later, or wait for it with --if-busy wait."
            ) from error
        waiting = f"{name} is being retrained by {holder(name)}; waiting for the turn."
        log.warning(waiting)
        if flow_run.is_deployed():
            raise NotYetError(waiting) from error
        lock.acquire(poll=POLL_SECONDS)
    with ExitStack() as held:
        held.callback(lock.release)
        if killed := _read(note):
            crash_remains.clear(name, killed)
        crash_remains.mark_dead()
        folder = crash_remains.scratch_name()
        _write(note, folder)
        held.enter_context(crash_remains.scratch(folder))
        yield
        note.unlink(missing_ok=True)


def holder(name: str) -> str:
    """Who has the turn, in words; as far as is known."""
    found = _read(workspace.home() / f"{name}.retrain.json")
    if not {"who", "pid", "flow_run", "since"} <= found.keys():
        return Lock(f"{name}.retrain").holder() or "somebody"
    flow_run = f", flow run {found['flow_run']}" if found["flow_run"] else ""
    return f"{found['who']} (process {found['pid']}{flow_run}, since {found['since']})"


def _read(note: Path) -> dict[str, Any]:
    """What a note says; empty if there is none."""
    try:
        found = json.loads(note.read_text())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _write(note: Path, scratch: Path) -> None:
    found = {
        "who": who(),
        "pid": os.getpid(),
        "flow_run": flow_run.current(),
        "since": history.now()[:19],
        "scratch": str(scratch),
    }
    files.write(note, json.dumps(found))
