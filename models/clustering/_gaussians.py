"""One Gaussian for each cluster, as a module whose learned state are buffers.

Shapes: N = samples, K = clusters, D = embedding width.
"""

from collections.abc import Mapping

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from models.functional.gaussian import Moments, cholesky, mahalanobis, whitening


class ClusterGaussians(nn.Module):
    """Where each cluster lies and how wide it is.

    A cluster's covariance is pulled towards that of all clusters together, the more the fewer
    samples it has, then towards a multiple of the identity; so one with a single sample has a
    width too.

    Args:
        num_clusters: Clusters K.
        dim: Width D of the embedding.

    Attributes:
        mean_: Mean of each cluster's samples. Shape (K, D).
        covariance_: Their shrunk covariance. Shape (K, D, D).
        whitener_: Matrices W for which ``|W (x - mean)|`` is the distance. Shape (K, D, D).
        count_: Number of samples. Shape (K,).

    References:
        Friedman, 1989, "Regularized Discriminant Analysis", eq. 16 and 18.
    """

    mean_: Tensor
    covariance_: Tensor
    whitener_: Tensor
    count_: Tensor

    def __init__(self, num_clusters: int, dim: int) -> None:
        super().__init__()
        square = (num_clusters, dim, dim)
        shapes = {"mean_": square[:2], "covariance_": square, "whitener_": square}
        for name, shape in {**shapes, "count_": square[:1]}.items():
            self.register_buffer(name, torch.full(shape, torch.nan, dtype=torch.float64))

    def set(
        self, embedding: Float[Tensor, "N D"], labels: Int[Tensor, "N"], shrinkage: float
    ) -> None:
        """Become the Gaussians of these samples.

        Args:
            embedding: Samples.
            labels: Cluster of each; none may be empty.
            shrinkage: Weight of the common covariance and of the identity, in (0, 1].

        Raises:
            TrainingError: If all samples of each cluster are equal.
        """
        num_clusters, dim = self.mean_.shape
        parts = [Moments(dim) for _ in range(num_clusters)]
        common = Moments(dim)
        for cluster, part in enumerate(parts):
            part.update(embedding[labels == cluster].cpu())
            common.scatter += part.scatter
            common.count += part.count
        for cluster, part in enumerate(parts):
            mixed = Moments(dim)
            mixed.scatter = (1 - shrinkage) * part.scatter + shrinkage * common.scatter
            weight = (1 - shrinkage) * part.count + shrinkage * common.count
            mixed.scatter, mixed.count = mixed.scatter / weight, 1
            covariance = mixed.covariance(shrinkage)
            self.mean_[cluster] = part.mean
            self.covariance_[cluster] = covariance
            self.whitener_[cluster] = whitening(cholesky(covariance))
            self.count_[cluster] = part.count

    def forward(self, embedding: Float[Tensor, "N D"]) -> Float[Tensor, "N K"]:
        """Mahalanobis distance of each sample to each cluster, in float64."""
        samples = embedding.double()
        distances = [
            mahalanobis(samples, mean, whitener)
            for mean, whitener in zip(self.mean_, self.whitener_, strict=True)
        ]
        return torch.stack(distances, dim=1)

    def statistics(self) -> Mapping[str, Tensor]:
        """Mean, shrunk covariance and count of each cluster, float64."""
        return {"mean": self.mean_, "covariance": self.covariance_, "count": self.count_}
