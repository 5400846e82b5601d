"""Where a process ends itself by SIGKILL: at the boundary of a task, or before its K-th change.

A change is whatever a process does to files of the workplace (open for writing, rename, delete,
make a folder), and every commit to a database. So all orders in which a crash can leave files
behind are within reach, those inside of libraries too, and a seed names one of them.
"""

import atexit
import functools
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

TASKS = {
    "ingest": "tasks.data.ingest",
    "validate": "tasks.data.validate",
    "pretrain": "tasks.training.pretrain",
    "fit": "tasks.training.fit",
    "evaluate": "tasks.evaluation.evaluate",
    "sample": "tasks.evaluation.sample",
    "register": "tasks.registry.register",
    "compare": "tasks.evaluation.comparison",
    "promote": "tasks.registry.promote",
}
"""Of a retrain, in their order, and where they are."""
SIDES = ("start", "returned", "completed")
"""Before the first line of a task; after its last one; after Prefect has kept its result."""
CHANGES = {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.link", "os.truncate"}
"""Audit events of Python that change the file system, besides ``open``."""


def kill() -> None:
    """End this process and all that it has started, as a power cut would."""
    os.killpg(os.getpgid(0), signal.SIGKILL)


def at_boundary(task: str, side: str) -> None:
    """Be killed at a boundary of a task, the next time it is run."""
    from importlib import import_module

    found: Any = getattr(import_module(TASKS[task]), task)
    if side == "completed":
        found.on_completion(lambda *_: kill())
        return
    original = found.fn

    @functools.wraps(original)
    def body(*arguments: Any, **options: Any) -> Any:
        if side == "start":
            kill()
        original(*arguments, **options)
        kill()

    found.fn = body


def before_change(number: int, top: Path) -> None:
    """Be killed before the change of this number, counted from 0."""
    _on_changes(top, lambda count: kill() if count == number else None)


def count_changes(top: Path, result: Path) -> None:
    """Write the number of changes to a file when the process ends."""
    seen = [0]

    def note(count: int) -> None:
        seen[0] = count + 1

    _on_changes(top, note)
    atexit.register(lambda: result.write_text(str(seen[0])))


def _on_changes(top: Path, act: Callable[[int], None]) -> None:
    from sqlalchemy import event
    from sqlalchemy.engine import Engine

    prefix, seen = os.fspath(top), [0]

    def change(*_: Any) -> None:
        seen[0] += 1
        act(seen[0] - 1)

    def audit(name: str, arguments: tuple[Any, ...]) -> None:
        if name not in CHANGES and not (name == "open" and _writes(arguments)):
            return
        path = os.fsdecode(arguments[0]) if isinstance(arguments[0], str | bytes) else ""
        if path.startswith(prefix) or (path and not Path(path).is_absolute()):
            change()

    event.listen(Engine, "commit", change)
    sys.addaudithook(audit)


def _writes(arguments: tuple[Any, ...]) -> bool:
    """Whether an audit event ``open`` is about writing."""
    flags = arguments[2]
    return isinstance(flags, int) and bool(flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))
