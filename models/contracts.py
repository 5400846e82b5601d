"""What a model of each family can do, and nothing more.

Shapes: B = batch, C = channels, H W = image, D = embedding width, h w = feature map, K = clusters,
S = samples.

Images are float32 in [0, 1]. C is 1 (gray), 3 (colour), or ``WINDOW`` consecutive gray frames
I_{t-5} .. I_t of one clip, oldest first, which describe frame t. Video triplets alone also take
pairs (B, 2, C, H, W): the first and the last patch of each of B tracks that show different things.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sized
from typing import NamedTuple, Protocol, TypeVar, runtime_checkable

from jaxtyping import Float
from lightning_fabric import Fabric
from torch import Tensor, nn

from models.functional.gaussian import Moments
from models.functional.receptive_field import ReceptiveField

T = TypeVar("T")

WINDOW = 6
"""Frames that describe one frame of a clip: three mean frames, two apart (Deep-Anomaly, 3.1)."""


class Scores(NamedTuple):
    """Anomaly scores of a batch. Higher is more anomalous; the scale is the detector's own.

    Attributes:
        image_score: One score per image, or per frame of a clip. Shape (B,).
        anomaly_map: One score per pixel, shape (B, H, W), on the scale of ``image_score``: a pixel
            is called anomalous from the detector's ``pixel_threshold`` on. None if the detector
            does not localise.
        soft_assignment: Probability of each cluster, shape (B, K), rows sum to 1. None if the
            detector knows no clusters.
    """

    image_score: Float[Tensor, "B"]
    anomaly_map: Float[Tensor, "B H W"] | None = None
    soft_assignment: Float[Tensor, "B K"] | None = None


@runtime_checkable
class Progress(Protocol):
    """Shows how far a loop has come, and hands on its elements unchanged."""

    def __call__(self, steps: Iterable[T], *, total: int, description: str) -> Iterable[T]:
        """Iterate over ``steps``."""
        ...


def silent(steps: Iterable[T], *, total: int, description: str) -> Iterable[T]:  # noqa: ARG001
    """Iterate without showing anything."""
    return steps


def shown(batches: Iterable[T], progress: Progress, description: str) -> Iterable[T]:
    """Show one pass over batches."""
    total = len(batches) if isinstance(batches, Sized) else 0
    return progress(batches, total=total, description=description)


class Encoder(nn.Module, ABC):
    """A network from images to feature maps.

    Attributes:
        embedding_dim: Width D of the feature vectors.
        receptive_field: Pixels that each of them sees.
    """

    embedding_dim: int
    receptive_field: ReceptiveField

    @abstractmethod
    def forward(self, images: Float[Tensor, "B C H W"]) -> Float[Tensor, "B D h w"]:
        """Return one feature vector for each of the h x w receptive fields."""


@runtime_checkable
class EncoderConfig(Protocol):
    """Hyper-parameters of an encoder. Every one has a default."""

    def build(self) -> Encoder:
        """Return an encoder that was not trained yet."""
        ...


@runtime_checkable
class PretextTask(Protocol):
    """A self-supervised problem whose solution is a by-product; its encoder is the product.

    Attributes:
        encoder: The encoder that ``fit`` trains.
        history_: Mean loss of each epoch, empty before ``fit``.
    """

    encoder: Encoder
    history_: list[float]

    def fit(
        self,
        batches: Iterable[Float[Tensor, "_ C H W"]],
        *,
        fabric: Fabric | None = None,
        progress: Progress = silent,
    ) -> "PretextTask":
        """Solve the task on normal images; ``batches`` is iterated once per epoch."""
        ...

    def evaluate(self, batches: Iterable[Float[Tensor, "_ C H W"]]) -> Mapping[str, float]:
        """Figures of merit of the task itself on held-out images, beside a trivial answer's."""
        ...

    def examples(self, images: Float[Tensor, "B C H W"]) -> Mapping[str, Float[Tensor, "B c H W"]]:
        """Pictures of the task and of its solution, by title, in the order to show them."""
        ...


@runtime_checkable
class PretextConfig(Protocol):
    """Hyper-parameters of a pretext task. Every one has a default."""

    def build(self, encoder: Encoder) -> PretextTask:
        """Return an unsolved task that will train ``encoder``."""
        ...


@runtime_checkable
class Adapter(Protocol):
    """Makes an encoder fit for the images of another camera or site, without labels.

    Attributes:
        encoder: The adapted copy; the encoder that it was made from stays as it is.
        history_: Figures of each step by name, empty before ``fit``.
    """

    encoder: Encoder
    history_: dict[str, list[float]]

    def fit(
        self,
        source: Iterable[Float[Tensor, "_ C H W"]],
        target: Iterable[Float[Tensor, "_ _ _ _"]],
        *,
        fabric: Fabric | None = None,
        progress: Progress = silent,
    ) -> "Adapter":
        """Adapt to normal images of the target, given normal images that the encoder knows."""
        ...


@runtime_checkable
class AdapterConfig(Protocol):
    """Hyper-parameters of an adapter. Every one has a default."""

    def build(self, encoder: Encoder) -> Adapter:
        """Return an adapter of a trained encoder."""
        ...


@runtime_checkable
class Detector(Protocol):
    """A one-class model: fitted on normal images, scores any image.

    Attributes:
        threshold: ``image_score`` from which an image is called anomalous. Set by ``fit`` from
            normal images alone.
        pixel_threshold: Value of ``anomaly_map`` from which a pixel is called anomalous.
    """

    @property
    def threshold(self) -> float:
        """Image score from which an image is called anomalous."""
        ...

    @property
    def pixel_threshold(self) -> float:
        """Value of the anomaly map from which a pixel is called anomalous."""
        ...

    def fit(
        self,
        batches: Iterable[Float[Tensor, "_ C H W"]],
        calibration: Iterable[Float[Tensor, "_ C H W"]],
        *,
        fabric: Fabric | None = None,
        progress: Progress = silent,
    ) -> "Detector":
        """Learn what is normal, forgetting any earlier fit.

        Args:
            batches: Normal images; iterated several times.
            calibration: Other normal images, from which alone every threshold is set.
            fabric: Device and precision; the CPU in float32 if None.
            progress: Shows the passes over the data.
        """
        ...

    def __call__(self, images: Float[Tensor, "B C H W"], /) -> Scores:
        """Score a batch of images."""
        ...

    def state_dict(self) -> dict[str, Tensor]:
        """All learned state, as plain tensors; ``load_state_dict`` takes it back."""
        ...

    def statistics(self) -> Mapping[str, Tensor]:
        """The statistics it decides by, by name, float64.

        A detector with Gaussians gives mean, covariance and count of each.
        """
        ...


@runtime_checkable
class Recalibrated(Detector, Protocol):
    """A detector whose thresholds alone can be set anew, so that another camera can have it."""

    def recalibrate(
        self,
        calibration: Iterable[Float[Tensor, "_ C H W"]],
        *,
        fabric: Fabric | None = None,
        progress: Progress = silent,
    ) -> "Recalibrated":
        """Set every threshold from normal images of another camera; what is normal stays as it is.

        Raises:
            NotFittedError: If called before ``fit``.
        """
        ...


@runtime_checkable
class Clusterer(Detector, Protocol):
    """A detector that also sorts images into clusters; its scores have a ``soft_assignment``.

    An image is anomalous if it lies far from every cluster.
    """

    def assign(self, images: Float[Tensor, "B C H W"]) -> Float[Tensor, "B K"]:
        """Probability of each cluster for each image; rows sum to 1."""
        ...


@runtime_checkable
class DensityModel(Detector, Protocol):
    """A detector that gives images a probability, and draws new ones from it."""

    def log_likelihood(self, images: Float[Tensor, "B C H W"]) -> Float[Tensor, "B"]:
        """Natural logarithm of the probability of each image, in nats."""
        ...

    def sample(self, num: int, *, seed: int = 0) -> Float[Tensor, "S C H W"]:
        """Draw ``num`` new images in [0, 1], of the size it was fitted on."""
        ...


@runtime_checkable
class Additive(Protocol):
    """What a detector can do besides if it learns nothing but moments, which add up.

    ``fit(batches, calibration)`` is ``fit_moments(moments(batches), calibration)``, so that a fit
    on other images follows from the difference alone: merge the moments of images that were added,
    subtract those of images that were removed.
    """

    def moments(
        self, batches: Iterable[Float[Tensor, "_ C H W"]], *, fabric: Fabric | None = None
    ) -> Moments:
        """Moments of what these images are judged by; depends on the encoder and Config alone."""
        ...

    def fit_moments(
        self,
        moments: Moments,
        calibration: Iterable[Float[Tensor, "_ C H W"]],
        *,
        fabric: Fabric | None = None,
        progress: Progress = silent,
    ) -> "Additive":
        """Learn what is normal from moments; thresholds come from ``calibration``, anew."""
        ...


@runtime_checkable
class DetectorConfig(Protocol):
    """Hyper-parameters of a detector. Every one has a default."""

    def build(self, encoder: Encoder) -> Detector:
        """Return an unfitted detector on top of an encoder."""
        ...
