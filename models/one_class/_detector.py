"""What all detectors have in common that give an image one score and learn one threshold.

Shapes: B = batch, C = channels, N = scores.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping

import torch
from jaxtyping import Float
from lightning_fabric import Fabric
from torch import Tensor, nn

from models.contracts import Encoder, Progress, Scores, shown, silent
from models.errors import InvalidInputError, NotFittedError, TrainingError
from models.functional.thresholds import exceeded_by


class OneClassDetector(nn.Module, ABC):
    """Learn from normal images, then set the threshold by the scores of other normal images.

    A subclass says how to learn and how to score. What it learns are its parameters, and buffers
    of known size whose names end in ``_``.

    Args:
        encoder: Trained encoder; it is frozen.
        false_alarm_rate: Share of calibration images that may be called anomalous, in (0, 1).

    Attributes:
        threshold_: Smallest score from which an image is called anomalous.
    """

    encoder: Encoder
    threshold_: Tensor

    def __init__(self, encoder: Encoder, false_alarm_rate: float) -> None:
        super().__init__()
        self.encoder = encoder.eval().requires_grad_(False)
        self.false_alarm_rate = false_alarm_rate
        self.learn_buffers(threshold_=())

    def learn_buffers(self, **shapes: tuple[int, ...]) -> None:
        """Register buffers of these shapes, in float64 and NaN until they are learned."""
        for name, shape in shapes.items():
            self.register_buffer(name, torch.full(shape, torch.nan, dtype=torch.float64))

    def train(self, mode: bool = True) -> "OneClassDetector":  # noqa: ARG002, FBT001, FBT002
        """Stay in evaluation mode."""
        super().train(False)
        return self

    @property
    def threshold(self) -> float:
        """Image score from which an image is called anomalous."""
        self._check_fitted()
        return float(self.threshold_)

    @property
    def pixel_threshold(self) -> float:
        """Value of the anomaly map from which a pixel is called anomalous: the same."""
        return self.threshold

    def fit(
        self,
        batches: Iterable[Float[Tensor, "_ C H W"]],
        calibration: Iterable[Float[Tensor, "_ C H W"]],
        *,
        fabric: Fabric | None = None,
        progress: Progress = silent,
    ) -> "OneClassDetector":
        """Learn what is normal, forgetting any earlier fit.

        Args:
            batches: Normal images; iterated once.
            calibration: Other normal images, which alone set the threshold; iterated once.
            fabric: Device and precision; the CPU in float32 if None.
            progress: Shows the passes over the data.

        Raises:
            TrainingError: If there are no images, or what they give is not finite.
            InvalidInputError: If the images do not fit the encoder or the configuration.
        """
        fabric = fabric or Fabric(accelerator="cpu", devices=1)
        self.to(fabric.device)
        self.threshold_.fill_(torch.nan)  # a fit that fails leaves no half-fitted detector
        self._learn(batches, fabric, progress)
        with torch.no_grad():
            scores = [
                self._score(images.to(fabric.device)).image_score
                for images in shown(calibration, progress, "Calibration")
            ]
        if not scores:
            raise TrainingError(
                "The threshold needs calibration images, got none. Raise calibration_share, or "
                "add normal images."
            )
        joined = torch.cat(scores)
        if not joined.isfinite().all():
            raise TrainingError(
                "Scores of normal images must be finite, got NaN or infinity. Check the images for "
                "NaN and the encoder's weights."
            )
        self.threshold_.fill_(exceeded_by(joined, self.false_alarm_rate))
        return self

    def forward(self, images: Float[Tensor, "B C H W"]) -> Scores:
        """Score a batch of images.

        Raises:
            NotFittedError: If called before ``fit``.
        """
        self._check_fitted()
        with torch.no_grad():
            return self._score(images.to(self.threshold_.device))

    def statistics(self) -> Mapping[str, Tensor]:
        """All buffers that were learned, by name without the trailing underscore, float64.

        Raises:
            NotFittedError: If called before ``fit``.
        """
        self._check_fitted()
        own = self.named_buffers(recurse=False)
        return {name.rstrip("_"): value.double() for name, value in own if name.endswith("_")}

    @abstractmethod
    def _learn(self, batches: Iterable[Tensor], fabric: Fabric, progress: Progress) -> None:
        """Learn all but the threshold from normal images."""

    @abstractmethod
    def _score(self, images: Float[Tensor, "B C H W"]) -> Scores:
        """Score images on the detector's own device."""

    def _check_fitted(self) -> None:
        if self.threshold_.isnan():
            name = type(self).__name__
            raise NotFittedError(f"{name} is not fitted. Call fit(batches, calibration) first.")


def check_rate(false_alarm_rate: float) -> None:
    """Raise unless a false alarm rate lies between 0 and 1.

    Raises:
        InvalidInputError: Otherwise.
    """
    if not 0 < false_alarm_rate < 1:
        raise InvalidInputError(f"false_alarm_rate must be in (0, 1), got {false_alarm_rate}.")
