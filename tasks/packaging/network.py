"""Network: a detector in torch, as it was trained, behind arrays.

What scores by a program needs none of this, and no torch.

Shapes: N = inputs, C = window or channels, H W = input, P = places, D = features.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from models.capabilities import Observable
from models.contracts import Detector
from models.errors import InvalidInputError
from models.functional.drift import Reference
from tasks.packaging.raw import Raw
from tasks.packaging.tensors import as_tensor


class Network:
    """Scores arrays.

    Attributes:
        detector: The model itself, built by the sources it was trained with.
        device: Where it computes.
    """

    def __init__(self, detector: Detector, device: torch.device) -> None:
        self.detector: Detector = detector.to(device)  # type: ignore[attr-defined]
        self.device = device

    def reference(self) -> Reference | None:
        """The Gaussian of normal feature vectors; None if it judges by none."""
        return reference_of(self.detector)

    @torch.no_grad()
    def __call__(
        self,
        inputs: NDArray[np.uint8],
        observe: Callable[[NDArray[np.float32]], None] | None = None,
    ) -> Raw:
        """What the detector says of preprocessed inputs (N, C, H, W), each by itself.

        Args:
            inputs: Of any size that it takes.
            observe: Is given the feature vectors (N, P, D), if it judges by a Gaussian.

        Raises:
            InvalidInputError: If the detector refuses the inputs, or scores one with NaN.
        """
        found = self._call(as_tensor(inputs, self.device), observe)
        maps, q = found.anomaly_map, found.soft_assignment
        return Raw(
            image_score=found.image_score.double().cpu().numpy(),
            anomaly_map=None if maps is None else maps.float().cpu().numpy(),
            soft_assignment=None if q is None else q.double().cpu().numpy(),
        )

    def _call(
        self, images: torch.Tensor, observe: Callable[[NDArray[np.float32]], None] | None
    ) -> Any:
        try:
            if observe is None or not isinstance(self.detector, Observable):
                return self.detector(images)
            seen = self.detector.observe(images)
            observe(seen.features.cpu().numpy())
            return seen.scores  # noqa: TRY300
        except ValueError as error:
            if type(error).__name__ != InvalidInputError.__name__:
                raise
            raise InvalidInputError(str(error)) from error  # theirs is a class of the sources


def reference_of(detector: Detector) -> Reference | None:
    """The Gaussian of normal feature vectors that a detector judges by; None if it has none."""
    if not isinstance(detector, Observable):
        return None
    return Reference(*(each.detach().cpu().numpy() for each in detector.reference()))
