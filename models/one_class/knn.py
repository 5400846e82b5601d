"""Nearest neighbours: an image is as anomalous as it is far from the normal ones.

Shapes: B = batch, C = channels, H W = image, h w = feature map, N = vectors, M = memory,
D = features.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from lightning_fabric import Fabric
from torch import Tensor
from torch.nn import functional

from models.contracts import Encoder, Progress, Scores, shown
from models.errors import InvalidInputError, TrainingError
from models.functional.receptive_field import roll_back
from models.one_class._detector import OneClassDetector, check_rate
from models.one_class._embeddings import embed, embedding_dim, padded, sampled
from models.one_class._features import place_features, widened

AT_ONCE = 1 << 24
"""Most distances that are held in memory at once."""


class NearestNeighbours(OneClassDetector):
    """Score by the distance to the k-th nearest of the normal embeddings that are remembered.

    Either one embedding stands for the whole image, or, with ``per_place``, each place of the
    feature map is judged for itself among the places of all normal images, which gives an anomaly
    map; the score of the image is then that of its worst place. A uniform sample bounds the
    memory. Scores are distances, >= 0; in [0, 2] for the cosine.

    Args:
        encoder: Trained encoder; it is frozen.
        config: Hyper-parameters.

    Attributes:
        memory_: Normal vectors, followed by zeros. Shape (M, D).
        count_: How many there are.

    References:
        Ramaswamy, Rastogi and Shim, 2000, "Efficient Algorithms for Mining Outliers from Large
        Data Sets", section 2. https://doi.org/10.1145/342009.335437
        Roth et al., 2022, "Towards Total Recall in Industrial Anomaly Detection", section 3, for
        ``per_place``. https://arxiv.org/abs/2106.08265
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
        per_place: bool = False
        """Judge each place of the feature map, which localises, and not the whole image."""
        neighbourhood: int = 3
        """Side of the square of places over which features are averaged, odd. Of ``per_place``."""
        grid: int = 1
        """The feature map is averaged over grid x grid parts, >= 1. Not of ``per_place``."""
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
            if self.neighbourhood < 1 or self.neighbourhood % 2 == 0:
                raise InvalidInputError(f"neighbourhood must be odd, got {self.neighbourhood}.")

        def build(self, encoder: Encoder) -> "NearestNeighbours":
            """Return an unfitted detector on top of an encoder."""
            return NearestNeighbours(encoder, self)

    memory_: Tensor
    count_: Tensor

    def __init__(self, encoder: Encoder, config: Config) -> None:
        super().__init__(encoder, config.false_alarm_rate)
        self.config = config
        dim = embedding_dim(encoder, 1 if config.per_place else config.grid)
        self.learn_buffers(memory_=(config.max_samples, dim), count_=())

    def _learn(
        self,
        batches: Iterable[Tensor],
        fabric: Fabric,
        progress: Progress,
    ) -> None:
        vectors = (
            self._vectors(images.to(fabric.device)).flatten(end_dim=-2)
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

    def _vectors(self, images: Tensor) -> Float[Tensor, "B *places D"]:
        """One vector for each image, or for each of its places; of length 1 for the cosine."""
        if self.config.per_place:
            vectors = place_features(
                self.encoder, images, side=self.config.neighbourhood, with_movement=False
            ).float()
        else:
            vectors = embed(self.encoder, images, self.config.grid)
        return functional.normalize(vectors, dim=-1) if self._by_angle else vectors

    @property
    def _by_angle(self) -> bool:
        return self.config.metric == "cosine"

    def _score(self, images: Float[Tensor, "B C H W"]) -> Scores:
        vectors = self._vectors(images)
        flat = vectors.flatten(end_dim=-2).double()
        memory = self.memory_[: int(self.count_)]
        step = max(AT_ONCE // len(memory), 1)
        found = torch.cat([self._distances(part, memory) for part in torch.split(flat, step)])
        distances = found.float().reshape(vectors.shape[:-1])
        if not self.config.per_place:
            return Scores(distances)
        field = widened(self.encoder.receptive_field, self.config.neighbourhood)
        anomaly_map = roll_back(distances, field, *images.shape[-2:]).clamp(min=0)
        return Scores(anomaly_map.amax(dim=(1, 2)), anomaly_map)

    def _distances(
        self, vectors: Float[Tensor, "N D"], memory: Float[Tensor, "M D"]
    ) -> Float[Tensor, "N"]:
        """Distance of each vector to its k-th nearest in the memory."""
        apart = torch.cdist(vectors, memory)
        nearest = apart.kthvalue(self.config.num_neighbours, dim=1).values
        return nearest.square() / 2 if self._by_angle else nearest
