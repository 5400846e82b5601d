"""What the server answers: the nouns of ``POST /predict``, made of a detector's prediction."""

import base64
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tasks.packaging.calibration import Calibration
from tasks.packaging.detector import Packaged, Prediction
from tasks.serving.deployed import Deployed

PEAK = 0.9
"""Share of the way from the lowest to the highest value of an alarm's map where a region begins."""
MAX_REGIONS = 100
"""Regions reported of one frame, those of the highest score."""


@dataclass(frozen=True)
class Region:
    """A connected region of anomalous pixels, in pixels of the frame as sent."""

    left: int
    top: int
    width: int
    height: int
    score: float
    """Highest value of the anomaly map in it."""
    p_value: float | None = None
    """How rare it is that a normal frame has a region that scores as high, in (0, 1]."""


@dataclass(frozen=True)
class AnomalyMap:
    """Score of every pixel: ``low + value * (high - low) / 255``."""

    png: str
    """Base64 of an 8-bit gray PNG of the size of the frame as sent."""
    low: float
    high: float
    threshold: float
    """Score from which a pixel is called anomalous."""


@dataclass(frozen=True)
class ScoredFrame:
    """What the detector says of one frame."""

    frame: int
    """Position in the request, from 0; the first frames of a clip have too few before them."""
    image_score: float
    """Higher is more anomalous, on the detector's own scale."""
    p_value: float
    """How rare such a score is among held-out normal clips, in (0, 1]."""
    q_value: float | None
    """Least share of false alarms to be expected among the alarms of this request if this frame and
    all with a smaller one are called alarms, in (0, 1]."""
    threshold: float
    """Image score from which a frame is called anomalous."""
    anomalous: bool
    anomaly_map: AnomalyMap | None = None
    regions: tuple[Region, ...] | None = None
    cluster: int | None = None
    """The most probable cluster, from 0; None if the detector knows no clusters."""
    soft_assignment: tuple[float, ...] | None = None
    """Probability of each cluster."""


@dataclass(frozen=True)
class DataName:
    """The data version that the detector was trained on."""

    name: str
    digest: str


@dataclass(frozen=True)
class Scored:
    """Answer to one request."""

    model: str
    version: int
    run_id: str
    data: DataName
    request_id: str
    frames: list[ScoredFrame]
    clip_p_value: float | None
    """How rare such a clip is among normal ones, in (0, 1]; None for still images."""
    calibration_clips: int
    """Held-out normal clips behind all p-values, none of which is below 1 / (this + 1)."""
    warnings: tuple[str, ...] = ()
    """What to know of how the files were read."""


def scored(
    deployed: Deployed, prediction: Prediction, request_id: str, warnings: tuple[str, ...] = ()
) -> Scored:
    """The answer to a request whose frames got this prediction."""
    packaged = deployed.packaged
    frames = []
    for place, frame in enumerate(prediction.frame_index):
        found = None if prediction.anomaly_map is None else prediction.anomaly_map[place]
        q = prediction.soft_assignment
        assigned = None if q is None else q[place]
        regions = None
        if found is not None:
            regions = find_regions(
                found,
                packaged.pixel_threshold,
                packaged.calibration,
                alarm=bool(prediction.anomalous[place]),
            )
        frames.append(
            ScoredFrame(
                frame=int(frame),
                image_score=float(prediction.image_score[place]),
                p_value=float(prediction.p_value[place]),
                q_value=None if prediction.q_value is None else float(prediction.q_value[place]),
                threshold=prediction.threshold,
                anomalous=bool(prediction.anomalous[place]),
                anomaly_map=None if found is None else draw(found, packaged),
                regions=regions,
                cluster=None if assigned is None else int(assigned.argmax()),
                soft_assignment=None if assigned is None else tuple(assigned.tolist()),
            )
        )
    data = packaged.lineage["data"]
    return Scored(
        model=deployed.name,
        version=deployed.version,
        run_id=str(packaged.lineage["run_id"]),
        data=DataName(name=data["name"], digest=data["digest"]),
        request_id=request_id,
        frames=frames,
        clip_p_value=prediction.clip_p_value,
        calibration_clips=packaged.calibration.num_clips,
        warnings=warnings,
    )


def draw(anomaly_map: NDArray[np.float32], packaged: Packaged) -> AnomalyMap:
    """An anomaly map (H, W) as a picture and its scale."""
    import cv2

    low, high = float(anomaly_map.min()), float(anomaly_map.max())
    unit = (anomaly_map - low) / (high - low if high > low else 1.0)
    _, png = cv2.imencode(".png", np.rint(unit * 255).astype(np.uint8))
    text = base64.b64encode(png.tobytes()).decode()
    return AnomalyMap(png=text, low=low, high=high, threshold=packaged.pixel_threshold)


def find_regions(
    anomaly_map: NDArray[np.float32],
    threshold: float,
    calibration: Calibration | None = None,
    *,
    alarm: bool = False,
) -> tuple[Region, ...]:
    """Boxes of the connected pixels that reach ``threshold``, the highest score first.

    An alarm has a region at least: where no pixel reaches the threshold, the highest ones are it.
    """
    import cv2

    if alarm:
        low, high = float(anomaly_map.min()), float(anomaly_map.max())
        threshold = min(threshold, low + PEAK * (high - low))

    reached = (anomaly_map >= threshold).astype(np.uint8)
    _, labels, boxes, _ = cv2.connectedComponentsWithStats(reached, connectivity=8)
    peaks = np.full(len(boxes), -np.inf)
    np.maximum.at(peaks, labels.ravel(), anomaly_map.ravel())
    peaks[0] = -np.inf  # label 0 is what lies outside of every region
    order = np.argsort(-peaks)[: min(len(boxes) - 1, MAX_REGIONS)]
    rare = None
    if calibration is not None and calibration.region_score is not None:
        rare = calibration.region_p_values(peaks[order])
    regions = []
    for place, label in enumerate(order):
        left, top, width, height = (int(value) for value in boxes[label][:4])
        p_value = None if rare is None else float(rare[place])
        regions.append(Region(left, top, width, height, float(peaks[label]), p_value))
    return tuple(regions)
