"""Log a fitted detector: packaged with its calibration, as an MLflow model that is read back."""

import json
import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, replace
from importlib.metadata import version as installed
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file
from torch import Tensor

from models.capabilities import CrossConformal
from models.contracts import Detector
from models.errors import RegistryError
from models.functional.running_mean import running_mean
from tasks.data import thumbnails
from tasks.data.snapshots import Snapshot
from tasks.packaging import make_program, package
from tasks.packaging.calibration import Calibration
from tasks.packaging.preprocessing import Preprocessing
from tasks.packaging.program import STEADY
from tasks.packaging.signature import signature
from tasks.platform import progress, settings
from tasks.records import Training
from tasks.registry import card, lineage_record, model_versions
from tasks.registry.tags import TAG
from tasks.training import devices, normal_windows
from tasks.training.inputs import Normal

SCRIPT = Path(__file__).parents[1] / "packaging" / "mlflow_model.py"
"""What MLflow runs to load the model."""
REQUIREMENTS = (
    "jaxtyping",
    "lightning-fabric",
    "mlflow",
    "numpy",
    "onnxruntime",
    "pandas",
    "safetensors",
    "scikit-learn",
    "scipy",
    "timm",
    "torch",
)
"""Distributions that a packaged detector needs; it is stored with their installed versions."""
OPTIONAL = ("openvino",)
"""Those that it uses only where they are installed."""
PARITY = 1e-4
"""Difference that reading a model back may make to its scores, relative to the largest."""
ENGINE = "UNSEEN_ENGINE"
"""Engine of packages that MLflow loads, instead of the fastest; see ``tasks.packaging.program``."""


def log_fitted(
    model: Detector,
    normal: Normal,
    snapshot: Snapshot,
    training: Training,
    described: Mapping[str, Any],
    raw: Calibration,
) -> str:
    """Package a fitted detector, log it to the active run, and read it back; its URI.

    Args:
        model: Fitted.
        normal: What it learned from, and the images whose scores p-values are made of.
        snapshot: The data version it belongs to.
        training: How its images are read.
        described: Its lineage.
        raw: As ``calibrate`` gives it.

    Raises:
        RegistryError: If the packaged model does not score as the fitted one.
    """
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / model_versions.PACKAGE
        calibration, threshold = raw.averaged(training.smoothing, model.threshold)
        windows = normal_windows.measure(model, snapshot, normal, training)
        distance, frames = windows.get("window_distance"), windows.get("window_frames")
        calibration = replace(calibration, window_distance=distance, window_frames=frames)
        mlflow.log_metrics(_reliability(calibration, threshold))
        _package(folder, model, training, calibration, threshold, described, snapshot)
        if settings.read().unseen_programs != "none":
            with progress.waiting("Writing the detector as a program, and comparing the two"):
                make_program.add_program(folder, model, next(iter(normal.probe)))
        _log_statistics(folder)
        mlflow.log_image(thumbnails.sheet(snapshot), artifact_file=card.THUMBNAILS)
        batch = next(iter(normal.probe))
        example = (batch[:1] * 255).round().byte().cpu().numpy()
        with _steady():
            model_uri = log_model(folder, lineage_record.data_tags(snapshot.version), example)
            _read_back(model_uri, model, batch, training.smoothing)
    return model_uri


@contextmanager
def _steady() -> Iterator[None]:
    """Let a package that is loaded score by its program, whichever engine may be the fastest."""
    before = os.environ.get(ENGINE)
    os.environ[ENGINE] = STEADY
    try:
        yield
    finally:
        del os.environ[ENGINE]
        if before is not None:
            os.environ[ENGINE] = before


def log_model(
    folder: Path, tags: Mapping[str, str], example: NDArray[np.uint8] | None = None
) -> str:
    """Log a packaged detector as an MLflow model of the active run; its URI ``models:/m-...``.

    Args:
        folder: Written by ``package.save``, and named ``package``.
        tags: Of the logged model, without the prefix ``unseen.``.
        example: An input, for people to try it with. Shape (1, C, H, W).
    """
    preprocessing = json.loads((folder / "detector.json").read_text())["preprocessing"]
    channels = preprocessing["channels"] * preprocessing["window"]
    logged = mlflow.pyfunc.log_model(
        name="detector",
        python_model=str(SCRIPT),
        artifacts={model_versions.PACKAGE: str(folder)},
        signature=signature(channels),
        input_example=example,
        pip_requirements=requirements(),
        tags={TAG + key: value for key, value in tags.items()},
    )
    return str(logged.model_uri)


def requirements() -> list[str]:
    """What a packaged detector needs, at the versions installed here, for any kind of machine."""
    return [f"{name}=={installed(name).partition('+')[0]}" for name in REQUIREMENTS]


def _package(
    folder: Path,
    model: Detector,
    training: Training,
    calibration: Calibration,
    threshold: float,
    described: Mapping[str, Any],
    snapshot: Snapshot,
) -> None:
    package.save(
        folder,
        model,
        preprocessing=Preprocessing(
            window=training.window,
            channels=training.channels,
            image_size=training.image_size,
            levels=snapshot.levels,
            frame_rate=snapshot.frame_rate,
        ),
        threshold=threshold,
        smoothing=training.smoothing,
        calibration_scores=calibration.image_score,
        calibration_clips=calibration.clip,
        region_scores=calibration.region_score,
        windows=calibration.windows(),
        lineage=described,
        files=[asdict(entry) for entry in snapshot.entries],
    )


@torch.no_grad()
def calibrate(model: Detector, normal: Normal, window: int) -> Calibration:
    """Scores of the calibration images, which come clip by clip and in order."""
    clips = normal.calibration_clips
    lengths = [max(len(clip.frames) - window + 1, 0) for clip in clips]
    if normal.calibration is None:
        assert isinstance(model, CrossConformal)
        assert model.held_out_ is not None
        scores, peaks = model.held_out_.image_score, model.held_out_.peak
    else:
        device = devices.device_of(model)
        found = [model(batch.to(device)) for batch in normal.calibration]
        maps = [each.anomaly_map for each in found if each.anomaly_map is not None]
        scores = torch.cat([each.image_score for each in found])
        peaks = torch.cat([each.amax(dim=(1, 2)) for each in maps]) if maps else scores[:0]
    return Calibration(
        image_score=scores.double().cpu().numpy(),
        clip=np.repeat(np.arange(len(clips)), lengths),
        region_score=peaks.double().cpu().numpy() if len(peaks) else None,
    )


def _reliability(calibration: Calibration, threshold: float) -> dict[str, float]:
    """What the threshold will be worth on clips that it has not seen, and how many vouch for it."""
    rates = calibration.rates_on_left_out_clips(threshold)
    found = {
        "calibration.num_clips": float(calibration.num_clips),
        "calibration.smallest_p_value": calibration.smallest_p_value,
    }
    if len(rates):
        found["calibration.false_alarm_rate"] = float(rates.mean())
        found["calibration.false_alarm_rate_worst_clip"] = float(rates.max())
    return found


@torch.no_grad()
def _scores(model: Detector, batches: Iterable[Tensor]) -> NDArray[np.float64]:
    device = devices.device_of(model)
    scores = [model(batch.to(device)).image_score.double().cpu().numpy() for batch in batches]
    return np.concatenate(scores)


def _log_statistics(folder: Path) -> None:
    """The Gaussian statistics as an artifact of the run, with a summary for people to read."""
    path = folder / "statistics.safetensors"
    summary = {
        name: {
            "shape": list(value.shape),
            "smallest": float(value.min()),
            "mean": float(value.mean()),
            "largest": float(value.max()),
        }
        for name, value in load_file(path).items()
    }
    mlflow.log_artifact(str(path), "statistics")
    mlflow.log_dict(summary, "statistics/summary.json")


def _read_back(model_uri: str, model: Detector, batch: Tensor, smoothing: int) -> None:
    """Load the logged model as any user would, and compare its scores with the fitted one's."""
    expected = running_mean(_scores(model, [batch]), smoothing)
    images = (batch * 255).round().byte().numpy()
    found = mlflow.pyfunc.load_model(model_uri).predict(images)["image_score"].to_numpy()
    difference = np.abs(found - expected).max()
    if not difference <= PARITY * np.abs(expected).max():
        raise RegistryError(
            "The packaged detector must score as the fitted one, and differs by "
            f"{difference:.3g} at scores up to {np.abs(expected).max():.3g}. All that a detector "
            "learns must be in its state_dict, and all that it is told in its Config."
        )
