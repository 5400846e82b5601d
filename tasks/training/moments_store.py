"""Runs that later fits start from: where moments are kept in MLflow, and how they are found again.

statistics/total.safetensors   moments of all clips together
statistics/parts.safetensors   those of each clip that this run read, unless they are large
statistics/clips.json          the clips, and which run holds the moments of each
"""

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file

from models.errors import DataError, NotFoundError
from models.functional.gaussian import Moments
from tasks.packaging import tensors
from tasks.records import DataVersion
from tasks.registry import mlflow_store, quick_reads, version_facts
from tasks.registry.tags import MOMENTS_BASIS

BASIS = "moments_basis"
"""Tag of a run: digest of all that the moments of a clip depend on, besides the clip."""
FOLDER = "statistics"
KEPT_BYTES = 64 << 20
"""Bytes that the moments of single clips may take; beyond, removed clips are read again."""
MOST_UPDATES = 50
"""Refits from a parent in a row, after which rounding is washed out by a full pass."""
LOST = (NotFoundError, SafetensorError)
"""What reading an artifact raises if it is gone."""
MOST_PARENTS = 5
"""Newest runs among which the one with the smallest difference is the parent."""


@dataclass(frozen=True, kw_only=True)
class Part:
    """A clip that moments were made of."""

    name: str
    num_images: int
    held_by: str = ""
    """Run that holds the moments of this clip alone; empty if none does."""


@dataclass(frozen=True, kw_only=True)
class Parent:
    """A finished run whose moments can be used again."""

    run_id: str
    digest: str
    """Of its moments."""
    data: DataVersion
    parts: dict[str, Part]
    """By identity."""
    updates: int

    @cached_property
    def total(self) -> Moments:
        """Moments of all its clips.

        Raises:
            DataError: If they are lost, or no longer those that were logged.
        """
        try:
            found = Moments.from_tensors(load_file(_artifact(self.run_id, "total.safetensors")))
        except LOST as error:
            raise DataError(f"The moments of run {self.run_id} are lost: {error}.") from error
        if digest(found) != self.digest:
            raise DataError(f"The moments of run {self.run_id} are not those that were logged.")
        return found


def nbytes(moments: Moments) -> int:
    """Bytes that moments take."""
    return sum(value.nbytes for value in moments.tensors().values())


def digest(moments: Moments) -> str:
    """SHA-256 of moments: names these statistics."""
    return hashlib.sha256(tensors.content(moments.tensors())).hexdigest()


def find(basis: str, experiment_id: str) -> list[Parent]:
    """Finished runs whose moments rest on the same basis, the newest first."""
    alike = {MOMENTS_BASIS: basis}
    runs = quick_reads.tagged_runs(mlflow_store.client(), experiment_id, alike, MOST_PARENTS)
    found = []
    for run in runs:
        try:
            known = json.loads(_artifact(run.info.run_id, "clips.json").read_text())
        except (NotFoundError, ValueError):
            continue  # its artifacts are lost: it is no parent
        if known["updates"] < MOST_UPDATES:
            parts = {key: Part(**part) for key, part in known.pop("clips").items()}
            data = DataVersion(**known.pop("data"))
            found.append(Parent(run_id=run.info.run_id, data=data, parts=parts, **known))
    return found


def stored(key: str, part: Part) -> Moments:
    """Moments of one clip, as the run that read it kept them.

    Raises:
        Exception: One of ``LOST``, if no run holds them.
    """
    path = _artifact(part.held_by, "parts.safetensors")
    with safe_open(path, framework="pt") as file:
        names = ("count", "mean", "scatter")
        return Moments.from_tensors({name: file.get_tensor(f"{key}.{name}") for name in names})


def _artifact(run_id: str, name: str) -> Path:
    if not run_id:
        raise NotFoundError(f"No run holds {name}.")
    found = version_facts.run_artifact(mlflow_store.client(), run_id, f"{FOLDER}/{name}")
    if found is None:
        raise NotFoundError(f"{name} of run {run_id} is gone.")
    return found
