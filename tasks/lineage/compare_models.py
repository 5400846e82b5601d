"""Agreement of a version with the same version trained again: bit for bit, or by how much not."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from models.errors import InvalidInputError

STATE = ("weights", "statistics", "calibration")
"""Files of a packaged detector that hold what was learned."""
TIMINGS = {"frames_per_s", "end_to_end_frames_per_s"}
"""Metrics that are another number every time."""
IDENTICAL, AGREES, DIFFERS = "identical", "agrees within tolerance", "differs"


@dataclass(frozen=True, kw_only=True)
class Tolerance:
    """How large a difference may be that is not called one."""

    tensor: float = 1e-3
    """Of a tensor, relative to the largest magnitude in it; at least 0."""
    metric: float = 0.01
    """Of a metric, absolute; relative for metrics beyond 1; at least 0."""

    def __post_init__(self) -> None:
        for name in ("tensor", "metric"):
            if not getattr(self, name) >= 0:
                raise InvalidInputError(f"tolerance must be at least 0, got {getattr(self, name)}.")


@dataclass(frozen=True, kw_only=True)
class Compared:
    """One tensor or one metric, then and now."""

    name: str
    verdict: str
    absolute: float | None = 0.0
    """Largest difference of any element; None if shapes differ or one is not a number."""
    relative: float | None = 0.0
    """The same, relative to the largest magnitude then; of metrics, that counts as at least 1."""
    then: float | None = None
    """Value of a metric; None of a tensor."""
    now: float | None = None


def worst(compared: Iterable[Compared]) -> str:
    """The worst verdict of all; ``identical`` if there is nothing to compare."""
    found = {each.verdict for each in compared}
    return next((each for each in (DIFFERS, AGREES) if each in found), IDENTICAL)


def compare_tensors(then: Path, now: Path, tolerance: Tolerance) -> tuple[Compared, ...]:
    """Everything that two packaged detectors have learned, tensor by tensor.

    Args:
        then: Folder of the recorded one.
        now: Folder of the one that was trained again.
        tolerance: What is no difference.
    """
    old, new = _state(then), _state(now)
    return tuple(
        _compare(name, old.get(name), new.get(name), tolerance.tensor)
        for name in sorted(old.keys() | new.keys())
    )


def compare_metrics(
    then: Mapping[str, float], now: Mapping[str, float], tolerance: Tolerance
) -> tuple[Compared, ...]:
    """Metrics of two evaluations, without those that tell how fast it was."""
    found = []
    for name in sorted((then.keys() | now.keys()) - TIMINGS):
        pair = then.get(name), now.get(name)
        old, new = (None if v is None else torch.tensor(v, dtype=torch.float64) for v in pair)
        one = _compare(name, old, new, tolerance.metric, least=1.0)
        found.append(Compared(**{**vars(one), "then": pair[0], "now": pair[1]}))
    return tuple(found)


def _state(folder: Path) -> dict[str, Tensor]:
    return {
        f"{part}.{name}": tensor
        for part in STATE
        for name, tensor in load_file(folder / f"{part}.safetensors").items()
    }


def _compare(
    name: str, then: Tensor | None, now: Tensor | None, tolerance: float, least: float = 0.0
) -> Compared:
    if then is None or now is None or (then.shape, then.dtype) != (now.shape, now.dtype):
        return Compared(name=name, verdict=DIFFERS, absolute=None, relative=None)
    if torch.equal(_bits(then), _bits(now)):
        return Compared(name=name, verdict=IDENTICAL)
    old, new = then.double(), now.double()
    same = (old == new) | (old.isnan() & new.isnan())
    absolute = float(torch.where(same, 0.0, (old - new).abs()).max())
    magnitude = max(float(torch.where(old.isfinite(), old.abs(), 0.0).max()), least)
    if not math.isfinite(absolute) or (absolute and not magnitude):
        return Compared(name=name, verdict=DIFFERS, absolute=None, relative=None)
    relative = absolute / magnitude if absolute else 0.0
    verdict = AGREES if relative <= tolerance else DIFFERS
    return Compared(name=name, verdict=verdict, absolute=absolute, relative=relative)


def _bits(tensor: Tensor) -> Tensor:
    return tensor.contiguous().reshape(-1).view(torch.uint8)
