"""A detector read back from its folder: score frames as they come.

Nothing here imports torch: what scores by a program never needs it.

Shapes: T = frames, H W = frame, N = inputs, C = window or channels, K = clusters.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from models.functional.conformal import discovery_q_values
from models.functional.drift import Reference
from models.functional.running_mean import running_mean
from tasks.packaging.calibration import Calibration
from tasks.packaging.preprocessing import Preprocessing
from tasks.packaging.program import FEATURES, SCORE, TORCH, Choice, Program
from tasks.packaging.raw import Raw, together

if TYPE_CHECKING:
    import torch

    from models.contracts import Detector
    from tasks.packaging.network import Network

BATCH_PIXELS, MAX_BATCH = 1_400_000, 32
"""Pixels of one frame each, and inputs, that are scored at once: what a processor's cache holds."""

LONG_CLIP = 1000
"""Windows of a clip from which torch is imported for it, if it is quicker: that takes seconds."""


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """What a detector says of N frames."""

    frame_index: NDArray[np.int64]
    """Number of each frame in the clip; the first one scored is ``window - 1``. Shape (N,)."""
    image_score: NDArray[np.float64]
    """Higher is more anomalous, on the detector's own scale. Shape (N,)."""
    p_value: NDArray[np.float64]
    """How rare such a score is among held-out normal clips, in (0, 1]; see
    ``models.functional.conformal``. Shape (N,)."""
    anomalous: NDArray[np.bool_]
    """``image_score`` reaches the threshold. Shape (N,)."""
    threshold: float = float("nan")
    """The detector's own, or that of the false-alarm rate that was asked for."""
    q_value: NDArray[np.float64] | None = None
    """Least false-discovery rate, over these N frames, at which each is an alarm. Shape (N,)."""
    clip_p_value: float | None = None
    """How rare such a clip is among normal ones; None for still images."""
    anomaly_map: NDArray[np.float32] | None = None
    """Score of every pixel at the frames' own size, shape (N, H, W); None unless asked for."""
    soft_assignment: NDArray[np.float64] | None = None
    """Probability of each of K clusters, shape (N, K); None if the detector knows no clusters."""


class Packaged:
    """A detector read from its folder, ready to score frames as they come.

    Attributes:
        preprocessing: What is done to frames before the model sees them.
        threshold: Image score from which an image is called anomalous.
        smoothing: Frames of a clip over which image scores are averaged; see ``Training``.
        pixel_threshold: Value of the anomaly map from which a pixel is called anomalous.
        calibration: Scores of held-out normal images.
        lineage: What the model was made from; see ``tasks.registry.lineage_record``.
        digest: SHA-256 over all its files; names this model's bytes.
        program: What scores inputs of its size, in place of the detector; None if torch is faster.
        engine: What it scores by, and why.
    """

    def __init__(  # noqa: PLR0913 - all that a package holds
        self,
        network: Callable[[], Network],
        *,
        preprocessing: Preprocessing,
        threshold: float,
        pixel_threshold: float,
        calibration: Calibration,
        lineage: dict[str, Any],
        digest: str,
        smoothing: int = 1,
        program: Program | None = None,
        engine: Choice | None = None,
        reference: Reference | None = None,
    ) -> None:
        self._network, self._reference = network, reference
        self.program = program
        self.engine = engine or Choice(engine=TORCH, why="No other was asked for.")
        self.preprocessing = preprocessing
        self.threshold = threshold
        self.smoothing = smoothing
        self.pixel_threshold = pixel_threshold
        self.calibration = calibration
        self.lineage = lineage
        self.digest = digest

    @cached_property
    def network(self) -> Network:
        """The detector in torch, built when it is wanted for the first time.

        Raises:
            RegistryError: If it cannot be built here.
        """
        return self._network()

    @property
    def detector(self) -> Detector:
        """The model itself, built by the sources it was trained with."""
        return self.network.detector

    @property
    def device(self) -> torch.device:
        """Where the model itself computes."""
        return self.network.device

    @cached_property
    def reference(self) -> Reference | None:
        """The Gaussian of normal feature vectors; None if it judges by none."""
        if self._reference or (self.program and FEATURES not in self.program.outputs):
            return self._reference
        return self.network.reference()

    @property
    def calibration_scores(self) -> NDArray[np.float64]:
        """Scores of held-out normal images, ascending."""
        return np.sort(self.calibration.image_score)

    def predict(
        self,
        frames: NDArray[np.uint8],
        *,
        anomaly_map: bool = False,
        batch_size: int | None = None,
        false_alarm_rate: float | None = None,
        observe: Callable[[NDArray[np.float32]], None] | None = None,
    ) -> Prediction:
        """Score the frames of one clip, or one or more still images.

        Args:
            frames: uint8, (T, H, W) gray or (T, 3, H, W) RGB, of any size.
            anomaly_map: Also return a score for every pixel.
            batch_size: Inputs scored at once; as many as ``BATCH_PIXELS`` allows if None.
            false_alarm_rate: Call a frame anomalous if its p-value is at most this; by the
                detector's own threshold if None.
            observe: Is given the feature vectors (B, P, D) of each batch, if the detector is
                ``models.capabilities.Observable``; else it is never called.

        Raises:
            InvalidInputError: If the frames have another shape, or are fewer than the window, or
                the calibration clips are too few for the false-alarm rate.
        """
        return self.score(
            self.preprocessing(frames),
            map_size=frames.shape[-2:] if anomaly_map else None,
            batch_size=batch_size,
            false_alarm_rate=false_alarm_rate,
            observe=observe,
        )

    def score(
        self,
        inputs: NDArray[np.uint8],
        *,
        map_size: tuple[int, ...] | None = None,
        batch_size: int | None = None,
        false_alarm_rate: float | None = None,
        observe: Callable[[NDArray[np.float32]], None] | None = None,
    ) -> Prediction:
        """Score inputs (N, C, H, W) that are preprocessed already.

        Args:
            inputs: Windows of gray frames, consecutive ones of a clip, or images; uint8.
            map_size: Height and width of the anomaly maps to return; None for no maps.
            batch_size: Inputs scored at once; as many as ``BATCH_PIXELS`` allows if None.
            false_alarm_rate: As in ``predict``.
            observe: As in ``predict``.

        Raises:
            InvalidInputError: If the detector refuses the inputs, scores one with NaN, or does not
                localise.
        """
        size = batch_size or min(max(BATCH_PIXELS // math.prod(inputs.shape[-2:]), 1), MAX_BATCH)
        found = list[Raw]()
        for start in range(0, len(inputs), size):
            part, began = inputs[start : start + size], time.perf_counter()
            by_torch = self._quicker_by_torch(inputs)
            found.append((self.network if by_torch else self.forward)(part, observe).at(map_size))
            if by_torch and start and self.program:  # the first of a clip may load and warm up
                self.program.note_torch(len(part), time.perf_counter() - began)
        return self.judge(together(found), false_alarm_rate=false_alarm_rate)

    def forward(
        self,
        inputs: NDArray[np.uint8],
        observe: Callable[[NDArray[np.float32]], None] | None = None,
    ) -> Raw:
        """What the detector says of one batch of preprocessed inputs (N, C, H, W), each by itself.

        Raises:
            InvalidInputError: If the detector refuses the inputs, or scores one with NaN.
        """
        if self.program and self.program.fits(inputs):
            return _by_program(self.program, inputs, observe)
        return self.network(inputs, observe)

    def _quicker_by_torch(self, inputs: NDArray[np.uint8]) -> bool:
        """Whether torch, which looks once at frames that windows share, is worth loading."""
        shared = len(inputs) > 1 and inputs.strides[0] == inputs.strides[1]
        worth = "torch" in sys.modules or len(inputs) >= LONG_CLIP
        return bool(self.program and self.program.clips_by_torch and shared and worth)

    def judge(self, raw: Raw, *, false_alarm_rate: float | None = None) -> Prediction:
        """The prediction for the inputs of one clip, or of still images, that were scored.

        Args:
            raw: Their scores, in order; maps are resized already, or None.
            false_alarm_rate: As in ``predict``.

        Raises:
            InvalidInputError: If the calibration clips are too few for the false-alarm rate.
        """
        threshold = self.threshold
        if false_alarm_rate is not None:
            threshold = self.calibration.threshold(false_alarm_rate)
        scores = running_mean(raw.image_score, self.smoothing)
        p_value, is_clip = self.calibration.p_values(scores), self.preprocessing.window > 1
        return Prediction(
            frame_index=np.arange(len(scores)) + self.preprocessing.window - 1,
            image_score=scores,
            p_value=p_value,
            anomalous=scores >= threshold,
            threshold=threshold,
            q_value=discovery_q_values(p_value, dependent=is_clip),
            clip_p_value=self.calibration.clip_p_value(scores) if is_clip else None,
            anomaly_map=raw.anomaly_map,
            soft_assignment=raw.soft_assignment,
        )


def _by_program(
    program: Program,
    inputs: NDArray[np.uint8],
    observe: Callable[[NDArray[np.float32]], None] | None,
) -> Raw:
    found = program(inputs, features=observe is not None)
    if observe is not None and FEATURES in found:
        observe(found[FEATURES])
    q = found.get("soft_assignment")
    return Raw(
        image_score=found[SCORE].astype(np.float64),
        anomaly_map=found.get("anomaly_map"),
        soft_assignment=None if q is None else q.astype(np.float64),
    )
