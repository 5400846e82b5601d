"""Evidence: the training images that the regions of an alarm are compared with, side by side.

Images that were sent are not kept: whoever asks brings the one in question, and its SHA-256 must be
that of the answer.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from models.capabilities import Box, TracesChannels, TracesPatches
from models.errors import InvalidInputError
from tasks.data import snapshots
from tasks.data.clips import Frame
from tasks.data.snapshots import Snapshot
from tasks.lineage.trace import data_version
from tasks.packaging.detector import Packaged
from tasks.packaging.tensors import as_tensor
from tasks.platform import files
from tasks.registry import mlflow_store, model_versions
from tasks.serving import uploads
from tasks.serving.monitoring.prediction_log import LoggedPrediction
from tasks.serving.responses import find_regions
from tasks.serving.uploads import Limits
from tasks.training import inputs

MOST = 4
"""Regions that are shown, those with the highest scores."""
AROUND = 0.25
"""What is shown around a patch, of the side of the image."""


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What a detector compares the worst place of one region with; boxes: top, left, bottom, right.

    All boxes are in pixels of the size that the detector sees.
    """

    region: tuple[int, ...]
    place: tuple[int, ...]
    """The worst place of the region."""
    distance: float
    """Of that place from what is normal, on the detector's own scale."""
    file: str = ""
    """PatchCore: the training image with the nearest patch, its path in the data version."""
    md5: str = ""
    patch: tuple[int, ...] | None = None
    """That patch, in that image."""
    layers: tuple[tuple[str, float], ...] = ()
    """PaDiM: share of each layer in the squared distance."""
    channels: tuple[tuple[str, int, float], ...] = ()
    """PaDiM: layer, number and share of the channels that speak most."""


def evidence(said: LoggedPrediction, image: Path, picture: Path) -> tuple[Evidence, ...]:
    """What the detector of an answer compared the regions of an image with; writes a picture of it.

    Args:
        said: The answer.
        image: The image that was sent.
        picture: PNG to write: each region beside the training patch that it is nearest to.

    Returns:
        For each region, the highest score first; empty if there are none.

    Raises:
        InvalidInputError: If the image is not one of the answer's, or the detector cannot tell.
        NotFoundError: If the version that answered is gone.
        DataError: If the training image is lost.
    """
    content = image.read_bytes()
    if (digest := hashlib.sha256(content).hexdigest()) not in said.files:
        raise InvalidInputError(
            f"The image must be one that {said.request_id} was the answer to: the SHA-256 of "
            f"{image} is none of its {len(said.files)}. Give the file that was sent."
        )
    version = model_versions.resolve(mlflow_store.client(), said.model, said.version)
    packaged = model_versions.load(version)
    detector: Any = packaged.detector
    if not isinstance(detector, TracesPatches | TracesChannels):
        raise InvalidInputError(
            f"{type(detector).__name__} cannot say what it compares a region with; PatchCore names "
            "training patches, PaDiM layers and channels. Train one of them."
        )
    received = uploads.read_frames([content], how=packaged.preprocessing, limits=Limits())
    seen = packaged.preprocessing(received.frames[:1])
    batch = as_tensor(seen, torch.device("cpu"))
    anomaly_map = packaged.forward(seen).anomaly_map
    assert anomaly_map is not None
    alarm = bool(said.anomalous) if said.is_clip else said.files.index(digest) in said.anomalous
    regions = find_regions(anomaly_map[0], packaged.pixel_threshold, alarm=alarm)[:MOST]
    boxes = [Box(r.top, r.left, r.top + r.height, r.left + r.width) for r in regions]
    if isinstance(detector, TracesPatches):
        return _by_patches(packaged, batch[0], boxes, seen[0], picture)
    return tuple(
        Evidence(
            region=tuple(box),
            place=tuple(each.place),
            distance=each.distance,
            layers=tuple(each.layers.items()),
            channels=tuple(each.channels),
        )
        for box, each in zip(boxes, detector.contributions(batch[0], boxes), strict=True)
    )


def _by_patches(
    packaged: Packaged,
    image: torch.Tensor,
    boxes: Sequence[Box],
    seen: NDArray[np.uint8],
    picture: Path,
) -> tuple[Evidence, ...]:
    detector: Any = packaged.detector
    snapshot = snapshots.open_version(data_version(packaged.lineage["data"]))
    frames = _in_order(packaged, snapshot)
    found, rows = [], []
    for box, each in zip(boxes, detector.nearest_patches(image, boxes), strict=True):
        entry = frames[each.image].entry
        found.append(
            Evidence(
                region=tuple(box),
                place=tuple(each.place),
                distance=each.distance,
                file=entry.relpath,
                md5=entry.md5,
                patch=tuple(each.box),
            )
        )
        rows.append((seen, found[-1], _read(packaged, snapshot, frames[each.image])))
    if rows:
        _draw(rows, picture)
    return tuple(found)


def _in_order(packaged: Packaged, snapshot: Snapshot) -> list[Frame]:
    """Training images as the detector saw them: in the order of their names, without copies."""
    training = packaged.lineage["recipe"].get("training", {})
    if training.get("calibration") != "cross":
        raise InvalidInputError(
            "Training images are numbered in the order of their names only with calibration "
            "'cross', and this detector was fitted on shuffled ones. Train again with "
            "--set training.calibration=cross."
        )
    return [frame for clip in inputs.distinct(snapshot) for frame in clip.frames]


def _read(packaged: Packaged, snapshot: Snapshot, frame: Frame) -> NDArray[np.uint8]:
    """A training image as the detector saw it. Shape (C, H, W)."""
    how = packaged.preprocessing
    clip = next(each for each in snapshot.clips("train") if frame in each.frames)
    images = snapshot.read_clip(clip, how.image_size, how.channels, how.levels)
    image: NDArray[np.uint8] = images[clip.frames.index(frame)]
    return image if image.ndim == 3 else image[None]


def _draw(
    rows: Sequence[tuple[NDArray[np.uint8], Evidence, NDArray[np.uint8]]], picture: Path
) -> None:
    """Region and nearest patch: in their images, and close by."""
    from matplotlib.figure import Figure
    from matplotlib.patches import Rectangle

    figure = Figure(figsize=(10, 2.9 * len(rows)), layout="constrained")
    axes = figure.subplots(len(rows), 4, squeeze=False)
    for line, (sent, each, known) in zip(axes, rows, strict=True):
        assert each.patch is not None
        shown = (
            (sent, each.region, f"sent: distance {each.distance:.4g}"),
            (sent, each.place, "its worst place"),
            (known, each.patch, "the nearest normal patch"),
            (known, each.patch, each.file[-40:]),
        )
        for column, (axis, (image, box, title)) in enumerate(zip(line, shown, strict=True)):
            height, width = image.shape[-2:]
            axis.imshow(image.transpose(1, 2, 0).squeeze(), cmap="gray", vmin=0, vmax=255)
            top, left, bottom, right = box
            size = right - left, bottom - top
            axis.add_patch(Rectangle((left, top), *size, fill=False, edgecolor="red"))
            if column in (1, 2):
                axis.set_xlim(left - AROUND * width, right + AROUND * width)
                axis.set_ylim(bottom + AROUND * height, top - AROUND * height)
            axis.set_title(title, fontsize=8)
            axis.set_axis_off()
    with files.whole(picture) as part:
        figure.savefig(part, format="png", dpi=110)
