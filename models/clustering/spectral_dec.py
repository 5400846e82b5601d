"""Deep clustering with augmentation, from a spectral start.

Shapes: N = training images, B = batch, C = channels, H W = image, S = side, D = embedding width,
P = width of what is compared, K = clusters.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from lightning_fabric import Fabric
from sklearn.decomposition import PCA
from torch import Generator, Tensor, nn

from models.clustering.dcec import (
    EMBEDDED_AT_ONCE,
    ClusteredAutoencoder,
    DeepClustering,
    DeepClusteringConfig,
    Update,
    check_enough_different,
    check_no_cluster_is_empty,
    k_means,
    resized,
)
from models.contracts import Encoder, Progress, Scores, silent
from models.errors import InvalidInputError
from models.fitting import begin, check_fitted, frozen, image_threshold, learned, value_of
from models.functional.augmentations import jittered
from models.functional.shuffled import Shuffled
from models.functional.spectral import spectral_clusters

STARTS = ("spectral", "k-means")
"""How the clusters are found that the second stage sharpens: what a graph of nearest neighbours
falls into, or balls about centroids in the embedding."""
VIEWS = 20
"""Views of each image that link it to others at a spectral start."""
COMPONENTS = 50
"""Principal components of the images by which they are compared there, at most."""


class SpectralDEC(nn.Module):
    """Sort images into K clusters by an autoencoder that is trained on shifted and turned images.

    As in ConvDEC-DA (Guo et al., 2018), both stages see augmented images, targets are made of the
    unchanged ones, and the second stage goes without reconstruction. What is not theirs, but chosen
    on images of MNIST's training file: they start from k-means, which merges and splits digits, and
    keep the learning rate. Here clusters start from spectral clustering of the graph that links
    images that are nearest to each other's views, and the network is taught these first; with that
    and one cycle of the rate, ten epochs are enough.

    Scores are those of ``DCEC``: the Mahalanobis distance to the nearest cluster.

    Args:
        encoder: What comes before the autoencoder: ``Pixels``, or a trained trunk, which is frozen.
        config: Hyper-parameters.

    Attributes:
        clustering: The autoencoder, the centroids, and the Gaussian of each cluster.
        pretraining_: Mean squared error per pixel of each epoch of the first stage.
        history_: Losses and label changes at each update of the target distribution.
        start_labels_: Cluster of each training image at the start of the second stage, in the
            order they came. Shape (N,).
        labels_: The same after training; both are empty before ``fit`` and are not stored.

    References:
        Guo, Zhu, Liu and Yin, 2018, "Deep Embedded Clustering with Data Augmentation".
        Ng, Jordan and Weiss, 2001, "On Spectral Clustering: Analysis and an Algorithm".
    """

    @dataclass(frozen=True, kw_only=True)
    class Config(DeepClusteringConfig):
        """Hyper-parameters; the update interval is that for some ten thousand images, the authors'
        for seventy thousand is 140.
        """  # noqa: D205

        epochs: int = 500
        peak_rate: float = 3e-3
        update_interval: int = 30
        gamma: float = 1.0
        shift: float = 0.1
        """Largest shift of an image in training, in sides, each way, in [0, 0.5)."""
        rotation: float = 10.0
        """Largest rotation of an image in training, in degrees, each way, in [0, 180]."""
        start: str = "spectral"
        """How the clusters are found that the second stage starts from, one of ``STARTS``."""
        start_shift: float = 0.06
        """Largest shift, in sides, each way, of the views that link images at a spectral start, in
        [0, 0.5)."""
        start_rotation: float = 15.0
        """Largest rotation of these views, in degrees, each way, in [0, 180]; if both are 0, images
        are linked by their own neighbours alone."""
        warm_up: int = 120
        """First steps of the second stage, in which the target is the clusters of the start
        themselves, and not made of the network's own assignment, >= 0."""

        def __post_init__(self) -> None:
            super().__post_init__()
            if self.start not in STARTS:
                raise InvalidInputError(
                    f"start must be one of {', '.join(STARTS)}, got {self.start!r}."
                )
            shifts, turns = (self.shift, self.start_shift), (self.rotation, self.start_rotation)
            if not (0 <= min(shifts) <= max(shifts) < 0.5 and 0 <= min(turns) <= max(turns) <= 180):
                raise InvalidInputError(
                    "shift and start_shift must be in [0, 0.5), rotation and start_rotation in "
                    f"[0, 180], got {self.shift}, {self.start_shift}, {self.rotation} and "
                    f"{self.start_rotation}."
                )
            if self.warm_up < 0:
                raise InvalidInputError(f"warm_up must be >= 0, got {self.warm_up}.")

        def build(self, encoder: Encoder) -> "SpectralDEC":
            """Return an unfitted clusterer on top of an encoder."""
            return SpectralDEC(encoder, self)

    encoder: Encoder
    threshold_: Tensor
    pretraining_: list[float]
    history_: list["Update"]

    def __init__(self, encoder: Encoder, config: Config) -> None:
        super().__init__()
        self.encoder, self.config = frozen(encoder), config
        self.clustering = ClusteredAutoencoder(encoder.embedding_dim, config)
        learned(self, threshold_=())
        self._forget()

    @property
    def threshold(self) -> float:
        """Image score from which an image is called anomalous."""
        return value_of(self.threshold_, self)

    @property
    def pixel_threshold(self) -> float:
        """The same as ``threshold``: whole images are judged, and there is no anomaly map."""
        return self.threshold

    def fit(
        self,
        batches: Iterable[Float[Tensor, "_ C H W"]],
        calibration: Iterable[Float[Tensor, "_ C H W"]],
        *,
        fabric: Fabric | None = None,
        progress: Progress = silent,
    ) -> "SpectralDEC":
        """Find the clusters of unlabelled images, forgetting any earlier fit; see ``DCEC.fit``."""
        config = self.config
        fabric = begin(self, self.threshold_, fabric)
        self._forget()
        images = Shuffled((self._prepared(batch) for batch in batches), seed=config.seed)
        draw = Generator().manual_seed(config.seed)
        stages = DeepClustering(
            self.clustering,
            images,
            config,
            fabric=fabric,
            progress=progress,
            augment=lambda batch: jittered(batch, config.shift, config.rotation, draw),
        )
        self.pretraining_ = stages.pretrain()
        embedding = stages.embed()
        if config.start == "spectral":
            views = config.start_shift, config.start_rotation, draw, fabric
            compared = components(images, *views, seed=config.seed)
            found = spectral(embedding, *compared, config.num_clusters, seed=config.seed)
        else:
            found = k_means(embedding, config.num_clusters, seed=config.seed)
        self.start_labels_, centroids = found
        self.history_, self.labels_ = stages.refine(
            self.start_labels_, centroids, reconstruction=0.0, warm_up=config.warm_up
        )
        threshold = image_threshold(
            self._score, calibration, config.false_alarm_rate, progress, fabric.device
        )
        self.threshold_.copy_(threshold)
        return self

    def forward(self, images: Float[Tensor, "B C H W"]) -> Scores:
        """Score a batch of images and assign them to clusters.

        Raises:
            NotFittedError: If called before ``fit``.
        """
        check_fitted(self.threshold_, self)
        return self._score(images.to(self.threshold_.device))

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
        check_fitted(self.threshold_, self)
        return self.clustering.statistics()

    def _forget(self) -> None:
        self.clustering.reset(self.config.seed)
        self.pretraining_, self.history_ = [], []
        self.start_labels_ = torch.empty(0, dtype=torch.int64)
        self.labels_ = torch.empty(0, dtype=torch.int64)

    def _prepared(self, images: Tensor) -> Float[Tensor, "B C S S"]:
        return resized(self.encoder(images.to(self.threshold_.device)), self.config.side)

    def _score(self, images: Tensor) -> Scores:
        return self.clustering.score(self._prepared(images))


def spectral(
    embedding: Float[Tensor, "N D"],
    samples: Float[Tensor, "N P"],
    views: Sequence[Float[Tensor, "N P"]],
    num_clusters: int,
    *,
    seed: int,
) -> tuple[Int[Tensor, "N"], Float[Tensor, "K D"]]:
    """Clusters of the graph of images that are nearest to each other or to each other's views.

    Args:
        embedding: Where the centroids are.
        samples: What is compared: the images themselves, which have lost nothing yet.
        views: The same of changed copies of the images, in the same order.
        num_clusters: Clusters K.
        seed: Of the graph's eigenvectors and of k-means.

    Returns:
        Cluster of each image, and the mean embedding of each cluster.

    Raises:
        TrainingError: If there are fewer different images than clusters, or a cluster is empty.
    """
    check_enough_different(samples, num_clusters)
    compared = [view.double().numpy() for view in views]
    found = spectral_clusters(samples.double().numpy(), num_clusters, views=compared, seed=seed)
    labels = torch.from_numpy(found)
    check_no_cluster_is_empty(labels, num_clusters)
    return labels, torch.stack([embedding[labels == k].mean(dim=0) for k in range(num_clusters)])


def components(
    images: Shuffled,
    shift: float,
    rotation: float,
    draw: Generator,
    fabric: Fabric,
    *,
    seed: int,
) -> tuple[Float[Tensor, "N P"], list[Float[Tensor, "N P"]]]:
    """Principal components of all images, and of ``VIEWS`` views of each, on the CPU.

    Args:
        images: Of one size.
        shift: Largest shift of a view, in sides, each way.
        rotation: Largest rotation of a view, in degrees, each way; no views if both are 0.
        draw: Source of randomness, on the CPU.
        fabric: Where views are made.
        seed: Of the solver of the components.
    """
    flat = images[:].flatten(1).numpy()
    found = PCA(min(COMPONENTS, *flat.shape), random_state=seed).fit(flat)

    def project(change: Callable[[Tensor], Tensor]) -> Tensor:
        parts = (
            found.transform(change(fabric.to_device(batch)).flatten(1).cpu().numpy())
            for _, batch in images.in_order(EMBEDDED_AT_ONCE)
        )
        return torch.cat([torch.from_numpy(part) for part in parts])

    def view(batch: Tensor) -> Tensor:
        return jittered(batch, shift, rotation, draw)

    num_views = VIEWS if shift or rotation else 0
    return project(lambda batch: batch), [project(view) for _ in range(num_views)]
