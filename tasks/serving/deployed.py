"""Deployed: a detector that answers, and what it was made from, wherever it was loaded from."""

import gc
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol

import numpy as np

from models.errors import RegistryError
from tasks.packaging.detector import Packaged

WARM_UP_SIZE = (128, 192)
"""Height and width of the frames that a detector is tried on, if it knows no size of its own."""


@dataclass(frozen=True, kw_only=True)
class Deployed:
    """A model version that is loaded, verified and warm."""

    name: str
    version: int
    packaged: Packaged
    since: str
    """When it was ready to serve; UTC, ISO 8601."""


class Source(Protocol):
    """Where the detector comes from that answers: a registry, or a folder.

    Attributes:
        name: Of the registered model.
        false_alarm_rate: Share of normal frames that may be called anomalous.
        deployed: What answers now; None before it is loaded.
        problem: What is wrong; None if all is well.
    """

    name: str
    false_alarm_rate: float | None
    deployed: Deployed | None
    problem: str | None

    def start(self) -> None:
        """Begin to load."""

    def stop(self) -> None:
        """End; what is loaded stays loaded."""

    def lineage(self, deployed: Deployed) -> dict[str, Any]:
        """What a version was made from."""


def warm(
    name: str, version: int, packaged: Packaged, false_alarm_rate: float | None = None
) -> Deployed:
    """A detector that has scored a window of noise.

    Args:
        name: Of the registered model.
        version: Its number.
        packaged: The detector.
        false_alarm_rate: That its calibration must be able to vouch for.

    Raises:
        InvalidInputError: If its calibration cannot vouch for the false-alarm rate.
        RegistryError: If it does not score.
    """
    window, size = packaged.preprocessing.window, packaged.preprocessing.image_size
    if size is None:
        height, width = packaged.program.size[1:] if packaged.program else WARM_UP_SIZE
        size = height, width
    noise = np.random.default_rng(0).integers(0, 256, (window, *size))
    found = packaged.predict(noise.astype(np.uint8), false_alarm_rate=false_alarm_rate)
    if not np.isfinite(found.image_score).all():
        raise RegistryError(
            f"{name} version {version} must score a window of noise with a number, got "
            f"{found.image_score}. Promote another version, or roll back."
        )
    _ = packaged.calibration.num_clips, packaged.reference  # they take a while the first time
    since = datetime.now(UTC).isoformat(timespec="seconds")
    return Deployed(name=name, version=version, packaged=packaged, since=since)


def spare_the_loaded() -> None:
    """Keep garbage collection from what is loaded now, until the next call.

    MLflow, torch and a model are 600,000 objects, and each full collection, of which there are
    several in a minute of many requests, would hold up all of them for .35 s.
    """
    gc.unfreeze()
    gc.collect()
    gc.freeze()
