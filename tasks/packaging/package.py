"""A fitted detector as a folder of plain files: tensors, JSON, and the sources that define it.

    detector.json            classes and hyper-parameters, preprocessing, thresholds
    weights.safetensors      all learned state, the encoder's included
    statistics.safetensors   the Gaussian statistics by name, float64
    reference.safetensors    the Gaussian of normal feature vectors, float64, if it judges by one
    calibration.safetensors  scores of held-out normal images, clip by clip, for p-values
    lineage.json             what it was made from: data, validation, pretext run, recipe, commit
    files.json               path and md5 of every file of that data version
    program/                 the detector as an ONNX program, and how it agrees with torch, if asked
    sources/                 the Python packages it was trained with, and this reader
    digest.json              SHA-256 of every other file

Nothing in it is pickled. ``load`` refuses it if a byte changed, and runs the sources that it holds
where a program does not score. torch is imported when a detector itself is wanted, not before.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from safetensors import numpy as arrays_of

from models.errors import RegistryError
from models.former_names import present, present_weights
from tasks.packaging.config_json import Json, from_json, to_json
from tasks.packaging.copy_sources import copy_sources, modules_of
from tasks.packaging.detector import Packaged
from tasks.packaging.formats import CURRENT
from tasks.packaging.formats import check as check_format
from tasks.packaging.import_sources import Vendored
from tasks.packaging.normality import (
    CALIBRATION,
    load_calibration,
    load_reference,
    save_reference,
)
from tasks.packaging.preprocessing import Preprocessing
from tasks.packaging.program import FOLDER, TORCH, choose, default_threads

if TYPE_CHECKING:
    from models.contracts import Detector
    from tasks.packaging.network import Network

GPUS = ("/dev/nvidiactl", "/dev/kfd", "/dev/dxg")
"""Devices of which there is one where torch may find a GPU, on Linux."""


def save(  # noqa: PLR0913 - all that a package holds
    folder: Path,
    detector: Detector,
    *,
    preprocessing: Preprocessing,
    threshold: float | None = None,
    smoothing: int = 1,
    calibration_scores: NDArray[np.float64],
    calibration_clips: NDArray[np.int64] | None = None,
    region_scores: NDArray[np.float64] | None = None,
    windows: Mapping[str, NDArray[np.float64]] | None = None,
    lineage: Mapping[str, Json],
    files: list[dict[str, str]],
) -> str:
    """Write a fitted detector to a new folder and return its digest.

    Its class and its encoder's must have a nested frozen ``Config`` with ``build``, kept in their
    attribute ``config``, and live in a package or module that can be imported by name.

    Args:
        folder: To be made.
        detector: A fitted detector with attributes ``config`` and ``encoder``.
        preprocessing: What is done to frames before the detector sees them.
        threshold: Image score from which an image is called anomalous; the detector's own if None.
        smoothing: Frames over which scores are averaged; see ``Training``.
        calibration_scores: Its scores of held-out normal images, averaged like any; of clips, in
            order.
        calibration_clips: Number of the clip that each is from; each its own if None.
        region_scores: Largest value of their anomaly maps, if it makes any.
        windows: ``window_distance`` and ``window_frames`` of ``Calibration``, if it has them.
        lineage: What it was made from, JSON-able.
        files: ``relpath`` and ``md5`` of each file of the data version.

    Raises:
        RegistryError: If the detector cannot be described without pickling it.
    """
    from safetensors.torch import save_file

    from tasks.packaging.network import reference_of
    from tasks.packaging.tensors import plain

    encoder = detector.encoder  # type: ignore[attr-defined]
    described = {
        "format": CURRENT["detector.json"],
        "detector": to_json(detector.config),  # type: ignore[attr-defined]
        "encoder": to_json(encoder.config),
        "preprocessing": asdict(preprocessing),
        "threshold": float(detector.threshold if threshold is None else threshold),
        "smoothing": smoothing,
        "pixel_threshold": float(detector.pixel_threshold),
    }
    own = {type(part).__module__.partition(".")[0] for part in (detector, encoder)}
    users = modules_of(lineage.get("recipe"))
    copy_sources(folder / "sources", {"models", *own, *users})
    scores = {"image_score": calibration_scores, "region_score": region_scores}
    known = {**scores, **(windows or {})}
    calibration: dict[str, NDArray[Any]] = {
        name: np.array(values, dtype=np.float64)
        for name, values in known.items()
        if values is not None
    }
    clips = np.arange(len(calibration_scores)) if calibration_clips is None else calibration_clips
    calibration["clip"] = np.array(clips, dtype=np.int64)
    save_file(plain(detector.state_dict()), folder / "weights.safetensors")
    save_file(plain(detector.statistics()), folder / "statistics.safetensors")
    arrays_of.save_file(calibration, folder / CALIBRATION)
    if (reference := reference_of(detector)) is not None:
        save_reference(folder, reference)
    for name, value in (("detector", described), ("lineage", lineage), ("files", files)):
        (folder / f"{name}.json").write_text(json.dumps(value, indent=1))
    sums = checksums(folder)
    (folder / "digest.json").write_text(json.dumps(sums, indent=1))
    return digest(sums)


def load(folder: Path, *, device: str = "cpu", engine: str = TORCH) -> Packaged:
    """Read a detector, after verifying every byte, with the sources it was trained with.

    Args:
        folder: Written by ``save``.
        device: Where it will compute; ``auto`` takes a GPU if there is one.
        engine: What scores on a processor, as in ``tasks.packaging.program.choose``. On a GPU it
            is torch.

    Raises:
        RegistryError: If the folder is not such a package, was changed, or cannot be run here.
        InvalidInputError: If the engine is not here, or does not give what torch gives.
    """
    sums = verify(folder)
    try:
        described = json.loads((folder / "detector.json").read_text())
        lineage = json.loads((folder / "lineage.json").read_text())
        check_format("detector.json", described)
        check_format("lineage.json", lineage)
        calibration = load_calibration(folder)
        preprocessing = preprocessing_of(described)
    except Exception as error:
        raise _unloadable(folder, error) from error
    computes_on = _device(device)
    network = cache(lambda: _network(folder, described, computes_on))
    program, choice = None, None
    if computes_on == "cpu":

        def by_torch(images: NDArray[np.uint8]) -> object:
            return network()(images)

        program, choice = choose(folder / FOLDER, engine, default_threads(), by_torch)
    if program is None:
        network()  # whatever is wrong with it is told now
    return Packaged(
        network,
        program=program,
        engine=choice,
        preprocessing=preprocessing,
        threshold=described["threshold"],
        smoothing=described.get("smoothing", 1),  # older packages do not average
        pixel_threshold=described["pixel_threshold"],
        calibration=calibration,
        lineage=lineage,
        digest=digest(sums),
        reference=load_reference(folder),
    )


def _network(folder: Path, described: dict[str, Json], device: str) -> Network:
    try:
        import torch

        from tasks.packaging.network import Network

        detector = _build(folder, described, Vendored(folder / "sources").load)
        return Network(detector, torch.device(device))
    except Exception as error:
        raise _unloadable(folder, error) from error


def _unloadable(folder: Path, error: Exception) -> RegistryError:
    return RegistryError(
        f"The packaged detector in {folder} must load, and does not: {error}. It needs the "
        "packages listed in its requirements.txt; serve another version, or train again."
    )


def _device(wanted: str) -> str:
    """Where to compute; torch is asked only where there may be a GPU."""
    if wanted != "auto":
        return wanted
    if sys.platform == "linux" and not any(Path(each).exists() for each in GPUS):
        return "cpu"
    try:
        import torch
    except ImportError:
        return "cpu"
    return "cuda" if torch.cuda.is_available() else "cpu"


def rebuild(
    folder: Path, load_module: Callable[[str], ModuleType] = importlib.import_module
) -> tuple[Detector, Preprocessing]:
    """A packaged detector in the classes of the present code, so that it can be trained further.

    Args:
        folder: Written by ``save``.
        load_module: Imports the module of a class by the name that was recorded.

    Raises:
        RegistryError: If the folder is not such a package, was changed, or does not fit this code.
    """
    verify(folder)
    described = json.loads((folder / "detector.json").read_text())
    try:
        detector = _build(folder, present(described), load_module, described["detector"])
    except (ImportError, AttributeError, TypeError, ValueError, RuntimeError) as error:
        raise RegistryError(
            f"The packaged detector in {folder} must fit the present code to be trained further, "
            f"and does not: {error}. Train it again with this code."
        ) from error
    return detector, preprocessing_of(described)


def preprocessing_of(described: Mapping[str, Json]) -> Preprocessing:
    """What is done to frames, as ``detector.json`` describes it."""
    values = dict(described["preprocessing"])
    pairs: Any = {k: tuple(values.pop(k, None) or ()) or None for k in ("image_size", "levels")}
    return Preprocessing(**values, **pairs)


def _build(
    folder: Path,
    described: dict[str, Json],
    load_module: Callable[[str], ModuleType],
    former: dict[str, Json] | None = None,
) -> Any:
    from safetensors.torch import load_file

    encoder = from_json(described["encoder"], load_module).build()
    detector = from_json(described["detector"], load_module).build(encoder)
    weights = load_file(folder / "weights.safetensors")
    detector.load_state_dict(present_weights(former, weights) if former else weights)
    return detector.eval()


def verify(folder: Path) -> dict[str, str]:
    """SHA-256 of every file of a package, after comparing them with the recorded ones.

    Raises:
        RegistryError: If a file changed, is missing, or was added.
    """
    try:
        recorded = json.loads((folder / "digest.json").read_text())
    except (OSError, ValueError) as error:
        raise RegistryError(
            f"{folder} must hold a packaged detector; its digest.json is missing or unreadable "
            f"({error}). Restore the artifact store, or serve another version."
        ) from error
    actual = checksums(folder)
    differing = sorted(set(recorded.items()) ^ set(actual.items()))
    if differing:
        names = ", ".join(dict.fromkeys(name for name, _ in differing))
        raise RegistryError(
            f"The packaged detector in {folder} must have exactly the bytes it was saved with; "
            f"changed, missing or added: {names}. Restore them, or serve another version."
        )
    return actual


def checksums(folder: Path) -> dict[str, str]:
    """SHA-256 of every file below ``folder`` but ``digest.json``, by its path, sorted."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != "digest.json"
    }


def digest(sums: Mapping[str, str]) -> str:
    """SHA-256 over the names and SHA-256 of all files: one name for a model's bytes."""
    lines = "".join(f"{value}  {name}\n" for name, value in sorted(sums.items()))
    return hashlib.sha256(lines.encode()).hexdigest()
