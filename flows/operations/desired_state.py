"""What should run here: remembered from ``unseen up`` to ``unseen down``, across crashes."""

import dataclasses
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models.errors import InvalidInputError
from tasks.platform import workspace


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What ``unseen up`` starts and ``unseen status`` expects."""

    recipes: tuple[str, ...] = ("walkway",)
    """What is retrained: names, or ``/path/to/file.py:name``."""
    models: tuple[str, ...] = ()
    """Names of the registered models that these recipes make, without repetition."""
    retrain_cron: str = "0 3 * * *"
    """When to retrain, UTC, as cron has it; empty for never by the clock."""
    monitor_minutes: int = 15
    """Minutes between two looks at what the served detectors see, at least 1."""
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
        if self.monitor_minutes < 1:
            raise InvalidInputError(
                f"monitor_minutes must be at least 1, got {self.monitor_minutes}."
            )


def pool() -> str:
    """Name of the work pool of this repository, and tag of all its deployments."""
    return "unseen-" + re.sub(r"[^\w.-]", "-", workspace.root().name)


def remembered() -> Wanted | None:
    """What should run here; None if nothing should."""
    try:
        found = json.loads(_path().read_text())
        return Wanted(**{**found, **{key: tuple(found[key]) for key in ("recipes", "models")}})
    except (OSError, ValueError, KeyError, TypeError):
        return None


def changed(given: dict[str, Any]) -> Wanted:
    """What is remembered, or the defaults, with what is given and not None.

    Raises:
        InvalidInputError: If something is out of range.
    """
    known = {key: value for key, value in given.items() if value is not None}
    return dataclasses.replace(remembered() or Wanted(), **known)


def remember(wanted: Wanted) -> None:
    """Keep it until ``forget``."""
    partial = _path().with_suffix(".part")
    partial.write_text(json.dumps(dataclasses.asdict(wanted), indent=2) + "\n")
    partial.replace(_path())


def forget() -> None:
    """From now on nothing should run."""
    _path().unlink(missing_ok=True)


def _path() -> Path:
    return workspace.home() / "up.json"
