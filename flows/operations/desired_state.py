"""What should run here, and with which options: remembered across crashes, ``down`` and ``up``."""

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from models.errors import InvalidInputError
from tasks.platform import files, workspace

RUNS = "up"
"""Key of the file: whether it should run at present."""


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What ``unseen up`` starts and ``unseen status`` expects."""

    recipes: tuple[str, ...] = ("walkway",)
    """What is retrained: names, or ``/path/to/file.py:name``."""
    models: tuple[str, ...] = ()
    """Names of the registered models that these recipes make, without repetition."""
    retrain_cron: str = "0 3 * * *"
    """When to retrain, as cron has it; empty for never by the clock."""
    timezone: str = "UTC"
    """Of ``retrain_cron``; a name such as ``Europe/Berlin``."""
    monitor_minutes: int = 15
    """Minutes between two looks at what the served detectors see; 0 for never."""
    if_busy: str = "wait"
    """What a retrain does while its model is being retrained: ``wait`` or ``refuse``."""
    serve: bool = True
    """Whether the champions are served."""
    console: bool = True
    """Whether the operators' console runs."""
    prefect_port: int | None = None
    mlflow_port: int | None = None
    serve_port: int | None = None
    """Port of the first served model; the next ones follow."""
    console_port: int | None = None

    def __post_init__(self) -> None:
        if not self.recipes:
            raise InvalidInputError("At least one recipe must be given. Name one with --recipe.")
        if self.monitor_minutes < 0:
            raise InvalidInputError(
                f"monitor_minutes must be at least 0, got {self.monitor_minutes}."
            )
        try:
            ZoneInfo(self.timezone)
        except (ValueError, OSError, LookupError) as error:
            raise InvalidInputError(
                "timezone must be a name of the time zone database, such as Europe/Berlin, got "
                f"{self.timezone!r}."
            ) from error


def remembered() -> Wanted | None:
    """What should run here; None if nothing should."""
    found = _read()
    return _wanted(found) if found.get(RUNS, True) else None


def changed(given: dict[str, Any]) -> Wanted:
    """The options of the last ``up``, or the defaults, with what is given and not None.

    Raises:
        InvalidInputError: If something is out of range.
    """
    known = {key: value for key, value in given.items() if value is not None}
    return dataclasses.replace(_wanted(_read()) or Wanted(), **known)


def remember(wanted: Wanted) -> None:
    """From now on this should run."""
    _write(wanted, runs=True)


def forget() -> None:
    """From now on nothing should run; the options stay for the next ``up``."""
    if wanted := remembered():
        _write(wanted, runs=False)


def _write(wanted: Wanted, *, runs: bool) -> None:
    files.write(_path(), json.dumps({RUNS: runs, **dataclasses.asdict(wanted)}, indent=2) + "\n")


def _read() -> dict[str, Any]:
    try:
        found = json.loads(_path().read_text())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _wanted(found: dict[str, Any]) -> Wanted | None:
    names = {each.name for each in dataclasses.fields(Wanted)}
    known = {key: value for key, value in found.items() if key in names}
    try:
        return Wanted(**{**known, **{key: tuple(known[key]) for key in ("recipes", "models")}})
    except (KeyError, TypeError, InvalidInputError):
        return None


def _path() -> Path:
    return workspace.home() / "up.json"
