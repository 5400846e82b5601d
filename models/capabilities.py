"""What some detectors can do besides, so that others need not.

Shapes: B = batch, C = channels, H W = image, P = places of an image, D = features.
"""

from typing import NamedTuple, Protocol, runtime_checkable

from jaxtyping import Float
from torch import Tensor

from models.contracts import Scores


class Observation(NamedTuple):
    """What a detector says of a batch, and what it looked at to say it.

    Attributes:
        scores: As the detector gives them when it is called.
        features: The vectors that its Gaussian judged, of every place. Shape (B, P, D).
    """

    scores: Scores
    features: Float[Tensor, "B P D"]


class Reference(NamedTuple):
    """The Gaussian of normal feature vectors that a detector judges by, float64.

    Attributes:
        mean: Of the vectors it was fitted on. Shape (D,).
        covariance: Their maximum-likelihood covariance, before shrinkage. Shape (D, D).
        whitener: Matrix W for which ``|W (x - mean)|`` is the distance that x is judged by: the
            detector's own units, in which features of different scale can be compared.
            Shape (D, D).
    """

    mean: Float[Tensor, "D"]
    covariance: Float[Tensor, "D D"]
    whitener: Float[Tensor, "D D"]


@runtime_checkable
class Observable(Protocol):
    """A detector that judges by a Gaussian: what it is shown can be told from what it learned.

    ``observe(images).scores`` is what calling it gives, and computes nothing twice.
    """

    def observe(self, images: Float[Tensor, "B C H W"], /) -> Observation:
        """Score a batch of images, and hand on the vectors that were judged.

        Raises:
            NotFittedError: If called before ``fit``.
        """
        ...

    def reference(self) -> Reference:
        """What the vectors of normal images are like.

        Raises:
            NotFittedError: If called before ``fit``.
        """
        ...
