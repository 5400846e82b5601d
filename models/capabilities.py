"""What some detectors can do besides, so that others need not.

Shapes: B = batch, C = channels, H W = image, P = places of an image, D = features.
"""

from collections.abc import Sequence
from typing import NamedTuple, Protocol, runtime_checkable

from jaxtyping import Bool, Float
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


class HeldOut(NamedTuple):
    """Scores of normal images by what other images taught, in the order in which they came.

    Attributes:
        image_score: Shape (N,).
        peak: Largest value of each anomaly map. Shape (N,).
    """

    image_score: Float[Tensor, "N"]
    peak: Float[Tensor, "N"]


@runtime_checkable
class CrossConformal(Protocol):
    """A detector that needs no calibration images: ``fit(batches)`` lets each serve once.

    ``fit(batches, None)`` scores every training image by what the images of other groups taught,
    and sets thresholds from these scores by their conformal quantile.

    Attributes:
        held_out_: These scores, or those of the calibration images if some were given; None before
            ``fit``. Not part of the state dict.
    """

    held_out_: HeldOut | None


@runtime_checkable
class Restricted(Protocol):
    """A detector that can be told where to look; the mask is part of its state dict."""

    def restrict(self, roi: Bool[Tensor, "H W"] | None) -> "Restricted":
        """Look at a part of the images only; to be set before ``fit``."""
        ...


@runtime_checkable
class Pretrained(Protocol):
    """An encoder whose weights can be had ready-made; ``build`` alone makes random ones."""

    def load_pretrained(self) -> "Pretrained":
        """Take the weights that the configuration names.

        Raises:
            NotFoundError: If they cannot be had; says which file goes where.
        """
        ...


@runtime_checkable
class Layered(Protocol):
    """An encoder whose feature vectors join those of several layers, in this order.

    Attributes:
        layer_names: Layers, as their library names them.
        layer_dims: Features of each.
    """

    layer_names: tuple[str, ...]
    layer_dims: tuple[int, ...]


class Box(NamedTuple):
    """Pixels of a region: first row and column, and one past the last."""

    top: int
    left: int
    bottom: int
    right: int


class NearestPatch(NamedTuple):
    """The training patch that the worst place of a region is nearest to.

    Attributes:
        image: Number of the training image, in the order in which ``fit`` saw them.
        box: The patch in that image, in its pixels.
        place: The worst place of the region that was asked about.
        distance: Between their features.
    """

    image: int
    box: Box
    place: Box
    distance: float


class Contributions(NamedTuple):
    """Which features make the worst place of a region anomalous.

    Attributes:
        place: The worst place of the region that was asked about.
        distance: Its Mahalanobis distance.
        layers: Share of each layer in the squared distance, by name; they sum to 1.
        channels: The channels that speak most: layer, number within it, share.
    """

    place: Box
    distance: float
    layers: dict[str, float]
    channels: list[tuple[str, int, float]]


@runtime_checkable
class TracesPatches(Protocol):
    """A detector that can name a training patch for each region: PatchCore."""

    def nearest_patches(
        self, image: Float[Tensor, "C H W"], regions: Sequence[Box]
    ) -> list[NearestPatch]:
        """The nearest training patch of the worst place of each region."""
        ...


@runtime_checkable
class TracesChannels(Protocol):
    """A detector that can name layers and channels for each region: PaDiM."""

    def contributions(
        self, image: Float[Tensor, "C H W"], regions: Sequence[Box]
    ) -> list[Contributions]:
        """What speaks most at the worst place of each region."""
        ...
