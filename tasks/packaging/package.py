"""A fitted detector as a folder of plain files: tensors, JSON, and the sources that define it.

    detector.json            classes and hyper-parameters, preprocessing, thresholds
    weights.safetensors      all learned state, the encoder's included
    statistics.safetensors   the Gaussian statistics by name, float64
    calibration.safetensors  scores of held-out normal images, clip by clip, for p-values
    lineage.json             what it was made from: data, validation, pretext run, recipe, commit
    files.json               path and md5 of every file of that data version
    program/                 the detector as an ONNX program, and how it agrees with torch, if asked
    sources/                 the Python packages it was trained with, and this reader
    digest.json              SHA-256 of every other file

Nothing in it is pickled. ``load`` refuses it if a byte changed, and runs the sources that it holds.
"""

import hashlib
import importlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, fields, is_dataclass
from enum import Enum
from operator import attrgetter
from pathlib import Path
from types import ModuleType
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file

from models.contracts import Detector
from models.errors import RegistryError
from models.former_names import present, present_weights
from tasks.packaging.calibration import Calibration
from tasks.packaging.copy_sources import copy_sources, modules_of
from tasks.packaging.detector import Packaged
from tasks.packaging.formats import CURRENT
from tasks.packaging.formats import check as check_format
from tasks.packaging.import_sources import Vendored
from tasks.packaging.preprocessing import Preprocessing
from tasks.packaging.program import FOLDER, TORCH, choose
from tasks.packaging.tensors import plain

Json: TypeAlias = Any


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
    calibration = {
        name: torch.from_numpy(np.array(values, dtype=np.float64))
        for name, values in known.items()
        if values is not None
    }
    clips = np.arange(len(calibration_scores)) if calibration_clips is None else calibration_clips
    calibration["clip"] = torch.from_numpy(np.array(clips, dtype=np.int64))
    save_file(plain(detector.state_dict()), folder / "weights.safetensors")
    save_file(plain(detector.statistics()), folder / "statistics.safetensors")
    save_file(calibration, folder / "calibration.safetensors")
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
        detector = _build(folder, described, Vendored(folder / "sources").load)
        known = load_file(folder / "calibration.safetensors")
        scores = {name: value.numpy() for name, value in known.items()}
        scores.setdefault("clip", np.arange(len(scores["image_score"])))  # of older packages
        calibration = Calibration(**scores)
        preprocessing = _preprocessing(described)
    except Exception as error:
        raise RegistryError(
            f"The packaged detector in {folder} must load, and does not: {error}. It needs the "
            "packages listed in its requirements.txt; serve another version, or train again."
        ) from error
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    program, choice = None, None
    if device == "cpu":
        by_torch = _scorer(detector)
        program, choice = choose(folder / FOLDER, engine, torch.get_num_threads(), by_torch)
    return Packaged(
        detector.to(device),
        program=program,
        engine=choice,
        preprocessing=preprocessing,
        threshold=described["threshold"],
        smoothing=described.get("smoothing", 1),  # older packages do not average
        pixel_threshold=described["pixel_threshold"],
        calibration=calibration,
        lineage=lineage,
        digest=digest(sums),
        device=torch.device(device),
    )


def _scorer(detector: Any) -> Callable[[NDArray[np.uint8]], object]:
    @torch.no_grad()
    def score(images: NDArray[np.uint8]) -> object:
        return detector(torch.from_numpy(images).float() / 255)

    return score


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
    return detector, _preprocessing(described)


def _preprocessing(described: dict[str, Json]) -> Preprocessing:
    values = dict(described["preprocessing"])
    pairs: Any = {k: tuple(values.pop(k, None) or ()) or None for k in ("image_size", "levels")}
    return Preprocessing(**values, **pairs)


def _build(
    folder: Path,
    described: dict[str, Json],
    load_module: Callable[[str], ModuleType],
    former: dict[str, Json] | None = None,
) -> Any:
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


def to_json(value: Json) -> Json:
    """A configuration as JSON; dataclasses and enum members carry the name of their class.

    Raises:
        RegistryError: If it holds anything else than those, plain values, tuples and mappings.
    """
    if isinstance(value, Enum):
        return {"class": _name(type(value)), "member": value.name}
    if is_dataclass(value) and not isinstance(value, type):
        values = {each.name: to_json(getattr(value, each.name)) for each in fields(value)}
        return {"class": _name(type(value)), **values}
    if isinstance(value, tuple | list):
        return [to_json(each) for each in value]
    if isinstance(value, Mapping):
        return {str(key): to_json(each) for key, each in value.items()}
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise RegistryError(
        "A Config must be made of numbers, strings, tuples, mappings, enums and dataclasses, so "
        f"that it can be stored without pickling; got {type(value).__name__} {value!r}."
    )


def from_json(value: Json, load_module: Callable[[str], ModuleType]) -> Any:
    """The configuration that ``to_json`` described, of classes in the modules that are loaded."""
    if isinstance(value, list):
        return tuple(from_json(each, load_module) for each in value)
    if not isinstance(value, dict):
        return value
    values = {key: from_json(each, load_module) for key, each in value.items() if key != "class"}
    if "class" not in value:
        return values
    module, _, name = value["class"].partition(":")
    found = attrgetter(name)(load_module(module))
    return found[values["member"]] if issubclass(found, Enum) else found(**values)


def _name(kind: type) -> str:
    return f"{kind.__module__}:{kind.__qualname__}"
