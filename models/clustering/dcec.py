"""DCEC: deep clustering with a convolutional autoencoder, and its variant with augmentation.

Shapes: N = training images, B = batch, C = channels, H W = image, S = side, D = embedding width,
K = clusters.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.nn import functional

from models.clustering._autoencoder import Autoencoder
from models.clustering._gaussians import ClusterGaussians
from models.clustering._schedule import Schedule
from models.clustering._start import k_means, spectral
from models.clustering._training import Refresh, Trainer
from models.contracts import Encoder, Progress, Scores, silent
from models.errors import InvalidInputError, NotFittedError, TrainingError
from models.functional.shuffled import Shuffled
from models.functional.soft_assignment import soft_assignment
from models.functional.thresholds import exceeded_by


class DCEC(nn.Module):
    """Sort images into K clusters by where a convolutional autoencoder embeds them.

    The autoencoder first learns to reconstruct. k-means on its embedding starts the centroids.
    Then network and centroids are trained together: the soft assignment q of each image is drawn
    towards a sharper target p, made of the whole set, while the reconstruction keeps the embedding
    true to the images. ``Config(schedule=AUGMENTED)`` trains on shifted and turned images towards
    targets of the unchanged ones, and drops the reconstruction in the second stage (ConvDEC-DA). It
    starts from spectral clusters of the graph that links images that are nearest to each other's
    views, and teaches the network these first.

    An image's score is its Mahalanobis distance to the nearest cluster, each with a Gaussian of its
    own: clusters differ in width and shape, and a distance in units of their own spread compares
    across them where that to the centroid, or q, which always sums to 1, does not. Dimensionless,
    >= 0, about ``sqrt(D)`` for an image like those of training.

    Args:
        encoder: What comes before the autoencoder: ``Pixels``, or a trained trunk, which is frozen.
        config: Hyper-parameters.

    Attributes:
        centroids: One for each cluster; NaN before ``fit``. Shape (K, D).
        gaussians: The Gaussian of each cluster.
        pretraining_: Mean squared error per pixel of each epoch of the first stage.
        history_: Losses and label changes at each refresh of the target.
        start_labels_: Cluster of each training image at the start of the second stage, in the
            order they came. Shape (N,).
        labels_: The same after training; both are empty before ``fit`` and are not stored.

    References:
        Guo, Liu, Zhu and Yin, 2017, "Deep Clustering with Convolutional Autoencoders".
        https://doi.org/10.1007/978-3-319-70096-0_39
        Guo, Zhu, Liu and Yin, 2018, "Deep Embedded Clustering with Data Augmentation".
    """

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """Hyper-parameters of DCEC."""

        num_clusters: int = 10
        """Clusters K, >= 2."""
        side: int = 28
        """Rows and columns that inputs are brought to, a multiple of 4, >= 8."""
        embedding_dim: int = 10
        """Width D of the embedding, >= 1."""
        schedule: Schedule = field(default_factory=Schedule)
        """How it is trained; ``AUGMENTED`` is ConvDEC-DA's."""
        false_alarm_rate: float = 0.05
        """Share of calibration images that may be called anomalous, in (0, 1)."""
        shrinkage: float = 0.1
        """Weight of the covariance that all clusters share, and of the identity, in (0, 1]."""
        seed: int = 0
        """Of first weights, first clusters, batches and augmentation."""

        def __post_init__(self) -> None:
            if self.num_clusters < 2 or self.embedding_dim < 1:
                raise InvalidInputError(
                    "num_clusters must be >= 2 and embedding_dim >= 1, got "
                    f"{self.num_clusters} and {self.embedding_dim}."
                )
            if self.side < 8 or self.side % 4:
                raise InvalidInputError(
                    f"side must be a multiple of 4 and at least 8, got {self.side}."
                )
            if not (0 < self.false_alarm_rate < 1 and 0 < self.shrinkage <= 1):
                raise InvalidInputError(
                    "false_alarm_rate must be in (0, 1) and shrinkage in (0, 1], got "
                    f"{self.false_alarm_rate} and {self.shrinkage}."
                )

        def build(self, encoder: Encoder) -> "DCEC":
            """Return an unfitted clusterer on top of an encoder."""
            return DCEC(encoder, self)

    encoder: Encoder
    threshold_: Tensor
    pretraining_: list[float]
    history_: list[Refresh]
    start_labels_: Tensor
    labels_: Tensor

    def __init__(self, encoder: Encoder, config: Config) -> None:
        super().__init__()
        self.encoder = encoder.eval().requires_grad_(False)
        self.config = config
        size = config.num_clusters, config.embedding_dim
        self.network = Autoencoder(encoder.embedding_dim, config.side, config.embedding_dim)
        self.centroids = nn.Parameter(torch.full(size, torch.nan))
        self.gaussians = ClusterGaussians(*size)
        self.register_buffer("threshold_", torch.tensor(torch.nan, dtype=torch.float64))
        self.network.reset(config.seed)
        self._forget()

    def train(self, mode: bool = True) -> "DCEC":  # noqa: ARG002, FBT001, FBT002
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
        """The same as ``threshold``: DCEC judges whole images and makes no anomaly map."""
        return self.threshold

    def fit(
        self,
        batches: Iterable[Float[Tensor, "_ C H W"]],
        calibration: Iterable[Float[Tensor, "_ C H W"]],
        *,
        fabric: Fabric | None = None,
        progress: Progress = silent,
    ) -> "DCEC":
        """Find the clusters of unlabelled images, forgetting any earlier fit.

        Args:
            batches: Images of all classes; read once, and kept in memory.
            calibration: Other such images, from which alone the threshold is set; read once.
            fabric: Device and precision; the CPU in float32 if None.
            progress: Shows the steps of both stages.

        Raises:
            TrainingError: If there are fewer different images than clusters, a cluster gets empty,
                or the loss diverges.
        """
        fabric = fabric or Fabric(accelerator="cpu", devices=1)
        config = self.config
        self.to(fabric.device)
        self._forget()
        self.network.reset(config.seed)
        dealt = Shuffled((self._prepared(images) for images in batches), seed=config.seed)
        trainer = Trainer(
            self.network,
            dealt,
            config.schedule,
            fabric=fabric,
            progress=progress,
            seed=config.seed,
        )
        self.pretraining_ = trainer.pretrain()
        self._start(trainer)
        self.history_, self.labels_ = trainer.refine(self.centroids, self.start_labels_)
        self.network.to(memory_format=torch.contiguous_format)
        self.gaussians.set(trainer.embed(), self.labels_, config.shrinkage)
        self._calibrate(calibration, progress)
        self.eval()
        return self

    def forward(self, images: Float[Tensor, "B C H W"]) -> Scores:
        """Score a batch of images and assign them to clusters.

        Raises:
            NotFittedError: If called before ``fit``.
        """
        self._check_fitted()
        with torch.no_grad():
            embedding = self._embed(images)
            score = self.gaussians(embedding).amin(dim=1).float()
            return Scores(score, soft_assignment=soft_assignment(embedding, self.centroids))

    def assign(self, images: Float[Tensor, "B C H W"]) -> Float[Tensor, "B K"]:
        """Probability of each cluster for each image; rows sum to 1."""
        assignment: Tensor | None = self(images).soft_assignment
        assert assignment is not None
        return assignment

    def statistics(self) -> Mapping[str, Tensor]:
        """Mean, shrunk covariance and count of each cluster, and the centroids, float64.

        Raises:
            NotFittedError: If called before ``fit``.
        """
        self._check_fitted()
        return {**self.gaussians.statistics(), "centroids": self.centroids.detach().double()}

    def _check_fitted(self) -> None:
        if self.threshold_.isnan():
            raise NotFittedError("DCEC is not fitted. Call fit(batches, calibration) first.")

    def _forget(self) -> None:
        with torch.no_grad():
            self.centroids.fill_(torch.nan)
        self.threshold_.fill_(torch.nan)
        self.pretraining_, self.history_ = [], []
        self.start_labels_ = torch.empty(0, dtype=torch.int64)
        self.labels_ = torch.empty(0, dtype=torch.int64)

    @torch.no_grad()
    def _prepared(self, images: Tensor) -> Float[Tensor, "B C S S"]:
        features: Tensor = self.encoder(images.to(self.threshold_.device))
        size = (self.config.side, self.config.side)
        if features.shape[-2:] == size:
            return features
        return functional.interpolate(features, size, mode="bilinear", antialias=True)

    def _embed(self, images: Tensor) -> Float[Tensor, "B D"]:
        embedding: Tensor = self.network(self._prepared(images), reconstruct=False)[0]
        return embedding.float()

    def _start(self, trainer: Trainer) -> None:
        """Find the clusters that the second stage sharpens."""
        num, seed = self.config.num_clusters, self.config.seed
        embedding = trainer.embed()
        if self.config.schedule.start == "spectral":
            samples, views = trainer.components()
            found = spectral(embedding, samples, views, num, seed=seed)
        else:
            found = k_means(embedding, num, seed=seed)
        self.start_labels_, centroids = found
        with torch.no_grad():
            self.centroids.copy_(centroids)

    @torch.no_grad()
    def _calibrate(self, calibration: Iterable[Tensor], progress: Progress) -> None:
        held_out = list(calibration)
        if not sum(map(len, held_out)):
            raise TrainingError(
                "The threshold needs calibration images, got none. Raise calibration_share, or add "
                "images to train/good."
            )
        steps = progress(held_out, total=len(held_out), description="Calibration")
        scores = [self.gaussians(self._embed(images)).amin(dim=1) for images in steps]
        self.threshold_.copy_(exceeded_by(torch.cat(scores).float(), self.config.false_alarm_rate))
