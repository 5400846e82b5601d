"""Nearest neighbours: an image is as anomalous as it is far from the normal ones.

Shapes: B = batch, C = channels, H W = image, N = vectors, M = memory, D = features.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.nn import functional

from models.contracts import Encoder, Progress, Scores, shown, silent
from models.errors import InvalidInputError, TrainingError
from models.fitting import (
    begin,
    check_fitted,
    check_rate,
    frozen,
    image_threshold,
    learned,
    statistics_of,
    value_of,
)
from models.functional.embeddings import embed, embedding_dim, padded, sampled

AT_ONCE = 1 << 24
"""Most distances that are held in memory at once."""


class NearestNeighbours(nn.Module):
    """Score by the distance to the k-th nearest of the normal embeddings that are remembered.

    One embedding stands for the whole image; to judge each place of the feature map among those of
    all normal images, take ``models.one_class.patchcore``. A uniform sample bounds the memory.
    Scores are distances, >= 0; in [0, 2] for the cosine.

    Args:
        encoder: Trained encoder; it is frozen.
        config: Hyper-parameters.

    Attributes:
        memory_: Normal vectors, followed by zeros. Shape (M, D).
        count_: How many there are.

    References:
        Ramaswamy, Rastogi and Shim, 2000, "Efficient Algorithms for Mining Outliers from Large
        Data Sets", section 2. https://doi.org/10.1145/342009.335437
    """

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """Hyper-parameters of nearest neighbours."""

        num_neighbours: int = 1
        """The k in k-th nearest, >= 1. More is less sensitive to an odd normal image."""
        metric: str = "euclidean"
        """Distance: ``euclidean``, or 1 minus the ``cosine`` of the angle."""
        max_samples: int = 2000
        """Vectors M that are remembered at most, drawn uniformly, >= ``num_neighbours``."""
        grid: int = 1
        """The feature map is averaged over grid x grid parts, >= 1."""
        false_alarm_rate: float = 0.05
        """Share of calibration images that may be called anomalous, in (0, 1)."""
        seed: int = 0
        """Of the sample."""

        def __post_init__(self) -> None:
            check_rate(self.false_alarm_rate)
            if not 1 <= self.num_neighbours <= self.max_samples:
                raise InvalidInputError(
                    "num_neighbours must be from 1 to max_samples, got "
                    f"{self.num_neighbours} and {self.max_samples}."
                )
            if self.metric not in ("euclidean", "cosine"):
                raise InvalidInputError(
                    f"metric must be 'euclidean' or 'cosine', got {self.metric!r}."
                )

        def build(self, encoder: Encoder) -> "NearestNeighbours":
            """Return an unfitted detector on top of an encoder."""
            return NearestNeighbours(encoder, self)

    encoder: Encoder
    threshold_: Tensor
    memory_: Tensor
    count_: Tensor

    def __init__(self, encoder: Encoder, config: Config) -> None:
        super().__init__()
        self.encoder, self.config = frozen(encoder), config
        dim = embedding_dim(encoder, config.grid)
        learned(self, threshold_=(), memory_=(config.max_samples, dim), count_=())

    @property
    def threshold(self) -> float:
        """Image score from which an image is called anomalous."""
        return value_of(self.threshold_, self)

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
    ) -> "NearestNeighbours":
        """Learn what is normal, forgetting any earlier fit; see ``models.contracts.Detector``.

        Raises:
            TrainingError: If there are no images, or what they give is not finite.
            InvalidInputError: If the images do not fit the encoder or the configuration.
        """
        fabric = begin(self, self.threshold_, fabric)
        self._learn(batches, fabric, progress)
        rate = self.config.false_alarm_rate
        threshold = image_threshold(self._score, calibration, rate, progress, fabric.device)
        self.threshold_.copy_(threshold)
        return self

    def forward(self, images: Float[Tensor, "B C H W"]) -> Scores:
        """Score a batch of images.

        Raises:
            NotFittedError: If called before ``fit``.
        """
        check_fitted(self.threshold_, self)
        return self._score(images.to(self.threshold_.device))

    def statistics(self) -> Mapping[str, Tensor]:
        """What was learned, float64.

        Raises:
            NotFittedError: If called before ``fit``.
        """
        check_fitted(self.threshold_, self)
        return statistics_of(self)

    def _learn(
        self,
        batches: Iterable[Tensor],
        fabric: Fabric,
        progress: Progress,
    ) -> None:
        vectors = (
            self._vectors(images.to(fabric.device))
            for images in shown(batches, progress, "Memory of normal images")
        )
        kept = sampled(vectors, self.config.max_samples, self.config.seed)
        if len(kept) < self.config.num_neighbours:
            raise TrainingError(
                f"num_neighbours is {self.config.num_neighbours}, and there are only {len(kept)} "
                "normal vectors. Lower it, or add normal images."
            )
        self.memory_.copy_(padded(kept, self.config.max_samples))
        self.count_.fill_(len(kept))

    def _vectors(self, images: Tensor) -> Float[Tensor, "B D"]:
        """One vector for each image; of length 1 for the cosine."""
        vectors = embed(self.encoder, images, self.config.grid)
        return functional.normalize(vectors, dim=-1) if self._by_angle else vectors

    @property
    def _by_angle(self) -> bool:
        return self.config.metric == "cosine"

    @torch.no_grad()
    def _score(self, images: Float[Tensor, "B C H W"]) -> Scores:
        vectors = self._vectors(images).double()
        memory = self.memory_[: int(self.count_)]
        step = max(AT_ONCE // len(memory), 1)
        found = [self._distances(part, memory) for part in torch.split(vectors, step)]
        return Scores(torch.cat(found).float())

    def _distances(
        self, vectors: Float[Tensor, "N D"], memory: Float[Tensor, "M D"]
    ) -> Float[Tensor, "N"]:
        """Distance of each vector to its k-th nearest in the memory."""
        apart = torch.cdist(vectors, memory)
        nearest = apart.topk(self.config.num_neighbours, dim=1, largest=False).values[:, -1]
        return nearest.square() / 2 if self._by_angle else nearest
