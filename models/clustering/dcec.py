"""DCEC: deep clustering with a convolutional autoencoder.

Shapes: N = training images, B = batch, C = channels, H W = image, S = side, D = embedding width,
K = clusters.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from lightning_fabric import Fabric
from sklearn.cluster import KMeans
from torch import Generator, Tensor, nn
from torch.nn import functional

from models.contracts import Encoder, Progress, Scores, silent
from models.errors import InvalidInputError, TrainingError
from models.fitting import begin, check_fitted, frozen, image_threshold, learned, value_of
from models.functional.shuffled import Shuffled
from models.functional.soft_assignment import divergence, soft_assignment, target_distribution
from models.gaussians import ClusterGaussians
from models.training import Trainer, one_cycle

FILTERS = (32, 64, 128)
"""Of the three convolutions."""
EMBEDDED_AT_ONCE = 1024
"""Images that are embedded together without gradients."""
KMEANS_RUNS = 20
"""Runs of k-means, of which the best one counts; the paper's."""


class Autoencoder(nn.Module):
    """Three convolutions of stride 2, a linear embedding, and the same way back.

    The last convolution pads only if its input has an even side, so that the way back meets every
    size again: 28, 14, 7, 3 without padding, 16, 8, 4, 2 with it.

    Args:
        channels: Of the images.
        side: Rows and columns of the images, a multiple of 4 and at least 8.
        embedding_dim: Width of the bottleneck.

    References:
        Guo, Liu, Zhu and Yin, 2017, "Deep Clustering with Convolutional Autoencoders", section 3.1.
    """

    def __init__(self, channels: int, side: int, embedding_dim: int) -> None:
        super().__init__()
        first, second, third = FILTERS
        padding = int(side % 8 == 0)
        smallest = side // 8
        flat = third * smallest**2
        self.encoder = nn.Sequential(
            nn.Conv2d(channels, first, 5, stride=2, padding=2),
            nn.ReLU(),
            nn.Conv2d(first, second, 5, stride=2, padding=2),
            nn.ReLU(),
            nn.Conv2d(second, third, 3, stride=2, padding=padding),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(flat, embedding_dim),
        )
        self.decoder = nn.Sequential(
            nn.Linear(embedding_dim, flat),
            nn.ReLU(),
            nn.Unflatten(1, (third, smallest, smallest)),
            nn.ConvTranspose2d(third, second, 3, 2, padding, output_padding=padding),
            nn.ReLU(),
            nn.ConvTranspose2d(second, first, 5, 2, padding=2, output_padding=1),
            nn.ReLU(),
            nn.ConvTranspose2d(first, channels, 5, 2, padding=2, output_padding=1),
        )

    def reset(self, seed: int) -> None:
        """Draw first weights: uniform as Glorot and Bengio (2010) have them, biases 0."""
        draw = Generator().manual_seed(seed)
        with torch.no_grad():
            for name, parameter in self.named_parameters():
                values = torch.zeros(parameter.shape)
                if name.endswith("weight"):
                    nn.init.xavier_uniform_(values, generator=draw)
                parameter.copy_(values)

    def forward(
        self, images: Float[Tensor, "B C S S"], *, reconstruct: bool = True
    ) -> tuple[Float[Tensor, "B D"], Float[Tensor, "B C S S"] | None]:
        """Embedding of images, and their reconstruction; None unless wanted."""
        embedding = self.encoder(images)
        return embedding, self.decoder(embedding) if reconstruct else None


@dataclass(frozen=True, kw_only=True)
class DeepClusteringConfig:
    """Hyper-parameters of an autoencoder that is pretrained and then clustered; DCEC's defaults."""

    num_clusters: int = 10
    """Clusters K, >= 2."""
    side: int = 28
    """Rows and columns that inputs are brought to, a multiple of 4, >= 8."""
    embedding_dim: int = 10
    """Width D of the embedding, >= 1."""
    epochs: int = 200
    """Passes of the first stage, which only reconstructs, >= 1."""
    batch_size: int = 256
    """Images of one step, >= 1."""
    learning_rate: float = 1e-3
    """Of Adam, > 0."""
    peak_rate: float = 0.0
    """Of Adam in the first stage, which then has one cycle: up to this rate, and down to 0; 0 keeps
    it at ``learning_rate``. >= 0."""
    max_iterations: int = 20_000
    """Steps of the second stage, at most, >= 1."""
    update_interval: int = 140
    """Steps from one update of the target distribution to the next, >= 1."""
    tolerance: float = 1e-3
    """Share of images that changed their cluster between updates below which it stops, >= 0."""
    gamma: float = 0.1
    """Weight of the clustering loss in the second stage, > 0; the squared error is a mean over
    pixels."""
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
        counts = (self.epochs, self.max_iterations, self.update_interval, self.batch_size)
        if min(counts) < 1:
            raise InvalidInputError(
                "epochs, max_iterations, update_interval and batch_size must be >= 1, got "
                f"{', '.join(map(str, counts))}."
            )
        if min(self.learning_rate, self.gamma) <= 0 or min(self.tolerance, self.peak_rate) < 0:
            raise InvalidInputError(
                "learning_rate and gamma must be > 0, tolerance and peak_rate >= 0, got "
                f"{self.learning_rate}, {self.gamma}, {self.tolerance} and {self.peak_rate}."
            )


class DCEC(nn.Module):
    """Sort images into K clusters by where a convolutional autoencoder embeds them.

    The autoencoder first learns to reconstruct. k-means on its embedding starts the centroids.
    Then network and centroids are trained together by ``L_r + gamma L_c`` (eq. 2): the soft
    assignment q of each image is drawn towards a sharper target p, made of the whole set, while the
    reconstruction keeps the embedding true to the images.

    An image's score is its Mahalanobis distance to the nearest cluster, each with a Gaussian of its
    own: clusters differ in width and shape, and a distance in units of their own spread compares
    across them where that to the centroid, or q, which always sums to 1, does not. Dimensionless,
    >= 0, about ``sqrt(D)`` for an image like those of training.

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
        Guo, Liu, Zhu and Yin, 2017, "Deep Clustering with Convolutional Autoencoders".
        https://doi.org/10.1007/978-3-319-70096-0_39
    """

    @dataclass(frozen=True, kw_only=True)
    class Config(DeepClusteringConfig):
        """Hyper-parameters of DCEC; the defaults are the paper's."""

        def build(self, encoder: Encoder) -> "DCEC":
            """Return an unfitted clusterer on top of an encoder."""
            return DCEC(encoder, self)

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
        config = self.config
        fabric = begin(self, self.threshold_, fabric)
        self._forget()
        images = Shuffled((self._prepared(batch) for batch in batches), seed=config.seed)
        stages = DeepClustering(self.clustering, images, config, fabric=fabric, progress=progress)
        self.pretraining_ = stages.pretrain()
        start, centroids = k_means(stages.embed(), config.num_clusters, seed=config.seed)
        self.start_labels_ = start
        self.history_, self.labels_ = stages.refine(start, centroids)
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


class Update(NamedTuple):
    """What one update of the target distribution found.

    Attributes:
        iteration: Steps of the second stage until then.
        changed: Share of images whose cluster is not that of the update before, in [0, 1].
        divergence: Mean KL(P || Q) of the steps since then, in nats; NaN at the first.
        reconstruction: Mean squared error per pixel of those steps; NaN without reconstruction.
    """

    iteration: int
    changed: float
    divergence: float
    reconstruction: float


class ClusteredAutoencoder(nn.Module):
    """An autoencoder with clusters in its embedding: what is left of the training.

    Args:
        channels: Of the images.
        config: Sizes.

    Attributes:
        network: The autoencoder.
        centroids: One for each cluster; NaN before training. Shape (K, D).
        gaussians: The Gaussian of each cluster.
    """

    def __init__(self, channels: int, config: DeepClusteringConfig) -> None:
        super().__init__()
        size = config.num_clusters, config.embedding_dim
        self.network = Autoencoder(channels, config.side, config.embedding_dim)
        self.centroids = nn.Parameter(torch.full(size, torch.nan))
        self.gaussians = ClusterGaussians(*size)

    def reset(self, seed: int) -> None:
        """Draw the network's first weights; forget the centroids."""
        self.network.reset(seed)
        with torch.no_grad():
            self.centroids.fill_(torch.nan)

    def embed(self, images: Float[Tensor, "B C S S"]) -> Float[Tensor, "B D"]:
        """Embedding of images of the network's size."""
        embedding: Tensor = self.network(images, reconstruct=False)[0]
        return embedding.float()

    @torch.no_grad()
    def score(self, images: Float[Tensor, "B C S S"]) -> Scores:
        """Distance of each image to the nearest cluster, and its soft assignment."""
        embedding = self.embed(images)
        score = self.gaussians(embedding).amin(dim=1).float()
        return Scores(score, soft_assignment=soft_assignment(embedding, self.centroids))

    def statistics(self) -> Mapping[str, Tensor]:
        """Mean, shrunk covariance and count of each cluster, and the centroids, float64."""
        return {**self.gaussians.statistics(), "centroids": self.centroids.detach().double()}


class DeepClustering:
    """Both stages of the training of a clustered autoencoder.

    Args:
        clustering: Trained in place.
        images: All training images, of the network's size.
        config: Hyper-parameters.
        fabric: Device and precision.
        progress: Shows the steps.
        augment: Changes images on the device before each step; None leaves them as they are.
    """

    def __init__(
        self,
        clustering: ClusteredAutoencoder,
        images: Shuffled,
        config: DeepClusteringConfig,
        *,
        fabric: Fabric,
        progress: Progress,
        augment: Callable[[Tensor], Tensor] | None = None,
    ) -> None:
        self._clustering, self._network = clustering, clustering.network
        self._images, self._config = images, config
        self._fabric, self._progress, self._augment = fabric, progress, augment

    def pretrain(self) -> list[float]:
        """Learn to reconstruct; the mean squared error per pixel of each epoch.

        Raises:
            TrainingError: If the loss diverges.
        """
        config = self._config
        total = config.epochs * self._images.num_batches(config.batch_size)
        optimizer = torch.optim.Adam(self._network.parameters(), lr=config.learning_rate)
        cycle = one_cycle(optimizer, config.peak_rate, total) if config.peak_rate else None
        trainer = Trainer(self._training(), optimizer, self._fabric, cycle)
        steps = self._images.epochs(config.batch_size, config.epochs)
        for _, batch in trainer.steps(steps, total, self._progress, "Autoencoder"):
            images = self._augmented(batch)
            _, reconstructed = trainer.network(images)
            trainer.step(functional.mse_loss(reconstructed.float(), images))
        return trainer.history()

    def refine(
        self,
        labels: Int[Tensor, "N"],
        centroids: Float[Tensor, "K D"],
        *,
        reconstruction: float = 1.0,
        warm_up: int = 0,
    ) -> tuple[list[Update], Int[Tensor, "N"]]:
        """Train towards a sharper assignment until labels stay; what happened, and the labels.

        Args:
            labels: Cluster of each image at the start.
            centroids: Of the clusters at the start.
            reconstruction: Weight of the squared error, >= 0; 0 leaves the decoder out.
            warm_up: First steps, in which the target is the clusters of the start themselves.

        Raises:
            TrainingError: If a cluster gets empty, or the loss diverges.
        """
        config, history = self._config, list[Update]()
        with torch.no_grad():
            self._clustering.centroids.copy_(centroids)
        parameters = [*self._network.parameters(), self._clustering.centroids]
        optimizer = torch.optim.Adam(parameters, lr=config.learning_rate)
        trainer = Trainer(self._training(), optimizer, self._fabric)
        start = functional.one_hot(labels, config.num_clusters).float()
        target, losses = start, list[Tensor]()
        batches = self._images.epochs(config.batch_size)
        steps = ((0, step) for step in range(config.max_iterations + 1))
        total = config.max_iterations + 1
        for step in trainer.steps(steps, total, self._progress, "Clustering"):
            if step % config.update_interval == 0 or step == config.max_iterations:
                target, found = self._target()
                update = self._update(step, found, labels, losses)
                history.append(update)
                labels, losses = found, []
                converged = step > warm_up and update.changed < config.tolerance
                if converged or step == config.max_iterations:
                    break
                target = start if step < warm_up else target
            _, (ids, batch) = next(batches)
            wanted = self._fabric.to_device(target[ids])
            loss, parts = self._loss(trainer, self._augmented(batch), wanted, reconstruction)
            trainer.step(loss)
            losses.append(parts)
        self._network.eval().to(memory_format=torch.contiguous_format)
        self._clustering.gaussians.set(self.embed(), labels, config.shrinkage)
        return history, labels

    @torch.no_grad()
    def embed(self) -> Float[Tensor, "N D"]:
        """Embedding of all images as they are, in the order they came, on the CPU."""
        parts = [
            self._clustering.embed(self._placed(images)).cpu()
            for _, images in self._images.in_order(EMBEDDED_AT_ONCE)
        ]
        return torch.cat(parts)

    def _loss(
        self, trainer: Trainer, images: Tensor, target: Tensor, reconstruction: float
    ) -> tuple[Tensor, Float[Tensor, "2"]]:
        """``reconstruction * L_r + gamma * L_c``; and both parts by themselves."""
        embedding, reconstructed = trainer.network(images, reconstruct=reconstruction > 0)
        assignment = soft_assignment(embedding.float(), self._clustering.centroids)
        clustering = divergence(target, assignment)
        loss, error = self._config.gamma * clustering, clustering.new_tensor(torch.nan)
        if reconstructed is not None:
            error = functional.mse_loss(reconstructed.float(), images)
            loss = loss + reconstruction * error
        return loss, torch.stack([clustering, error]).detach()

    def _target(self) -> tuple[Float[Tensor, "N K"], Int[Tensor, "N"]]:
        """Target of every image, by its id, and its present cluster."""
        centroids = self._clustering.centroids.detach().cpu()
        assignment = soft_assignment(self.embed(), centroids)
        labels = assignment.argmax(dim=1)
        check_no_cluster_is_empty(labels, len(centroids))
        return target_distribution(assignment), labels

    def _update(self, step: int, found: Tensor, labels: Tensor, losses: list[Tensor]) -> Update:
        changed = float((found != labels).double().mean())
        mean = torch.stack(losses).mean(dim=0) if losses else torch.full((2,), torch.nan)
        return Update(step, changed, *mean.tolist())

    def _training(self) -> Autoencoder:
        self._network.train().to(memory_format=torch.channels_last)
        return self._network

    def _augmented(self, images: Tensor) -> Tensor:
        placed = self._placed(images)
        return placed if self._augment is None else self._placed(self._augment(placed))

    def _placed(self, images: Tensor) -> Tensor:
        placed: Tensor = self._fabric.to_device(images)
        return placed.contiguous(memory_format=torch.channels_last)


@torch.no_grad()
def resized(features: Float[Tensor, "B C H W"], side: int) -> Float[Tensor, "B C S S"]:
    """Images or feature maps of one side, interpolated if they have another."""
    if features.shape[-2:] == (side, side):
        return features
    return functional.interpolate(features, (side, side), mode="bilinear", antialias=True)


def k_means(
    embedding: Float[Tensor, "N D"], num_clusters: int, *, seed: int
) -> tuple[Int[Tensor, "N"], Float[Tensor, "K D"]]:
    """Cluster of each image, and the centroid of each cluster.

    Raises:
        TrainingError: If there are fewer different images than clusters.
    """
    check_enough_different(embedding, num_clusters)
    found = KMeans(num_clusters, n_init=KMEANS_RUNS, random_state=seed)
    labels = found.fit_predict(embedding.double().numpy()).astype(np.int64)
    return torch.from_numpy(labels), torch.from_numpy(found.cluster_centers_).float()


def check_enough_different(samples: Float[Tensor, "N D"], num_clusters: int) -> None:
    """Refuse fewer different samples than clusters.

    Raises:
        TrainingError: If there are.
    """
    different = len(torch.unique(samples, dim=0))
    if different < num_clusters:
        raise TrainingError(
            f"{num_clusters} clusters need as many different images, got {different}. "
            "Lower num_clusters, or add images to train/good."
        )


def check_no_cluster_is_empty(labels: Int[Tensor, "N"], num_clusters: int) -> None:
    """Refuse clusters without a member.

    Raises:
        TrainingError: If there is one.
    """
    empty = int((torch.bincount(labels, minlength=num_clusters) == 0).sum())
    if empty:
        raise TrainingError(
            f"Every cluster must have an image, and {empty} of {num_clusters} have none of the "
            f"{len(labels)}. Lower num_clusters, add images, or take another seed."
        )
