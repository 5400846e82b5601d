"""Gaussians as modules whose learned state are buffers: one of all samples, or one per cluster.

Shapes: N = samples, D = features, K = clusters.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from models.functional.gaussian import Moments, cholesky, mahalanobis, whitening


class Part(NamedTuple):
    """Features of one kind and unit, which are taken as independent of those of other parts.

    Attributes:
        num: How many, in the order of the vectors.
        weight: Mean squared distance of a sample in these features; None leaves it as it is.
    """

    num: int
    weight: float | None


class Gaussian(nn.Module):
    """A multivariate normal distribution with shrunk covariance.

    Args:
        dim: Features D.

    Attributes:
        mean_: Mean of the samples. Shape (D,).
        covariance_: Their maximum-likelihood covariance, before shrinkage. Shape (D, D).
        scale_: Factors of the features before shrinkage, which is not indifferent to units.
            Shape (D,).
        whitener_: Matrix W for which ``|W (x - mean)|`` is the distance of x. Shape (D, D).
        count_: Number of samples.
    """

    mean_: Tensor
    covariance_: Tensor
    scale_: Tensor
    whitener_: Tensor
    count_: Tensor

    def __init__(self, dim: int) -> None:
        super().__init__()
        shapes = {"mean_": (dim,), "scale_": (dim,), "count_": ()}
        shapes |= {"covariance_": (dim, dim), "whitener_": (dim, dim)}
        for name, shape in shapes.items():
            self.register_buffer(name, torch.full(shape, torch.nan, dtype=torch.float64))

    def set(
        self,
        moments: Moments,
        shrinkage: float,
        scale: Float[Tensor, "D"] | None = None,
        parts: Sequence[Part] = (),
    ) -> None:
        """Become the Gaussian with these moments.

        With several parts, each is shrunk by itself, so that none depends on the others' units, and
        weighed so that each contributes to the squared distance of a sample as its weight says,
        however many features it has.

        Args:
            moments: Of the samples.
            shrinkage: Weight of the identity in the covariance of each part, in (0, 1].
            scale: Factors of the features before shrinkage; 1 if None.
            parts: All features in groups; one group if empty.

        Raises:
            TrainingError: If all samples are equal.
        """
        scale = torch.ones_like(moments.mean) if scale is None else scale
        self.mean_.copy_(moments.mean)
        self.covariance_.copy_(moments.covariance(0.0))
        self.count_.fill_(moments.count)
        self.scale_.copy_(scale)
        self.whitener_.zero_()
        scaled, first = moments.scaled(scale), 0
        for part in parts or (Part(len(scale), None),):
            here = slice(first, first := first + part.num)
            if parts and not scaled.scatter.diagonal()[here].any():
                continue  # such as movement in still images
            self.whitener_[here, here] = _whitening(scaled.marginal(here), shrinkage, part.weight)
        self.whitener_ *= scale

    def forward(self, samples: Float[Tensor, "*N D"]) -> Float[Tensor, "*N"]:
        """Mahalanobis distances, computed in the precision of the samples."""
        return mahalanobis(samples, self.mean_.to(samples), self.whitener_.to(samples))

    def statistics(self) -> Mapping[str, Tensor]:
        """Mean, covariance and count, float64."""
        return {"mean": self.mean_, "covariance": self.covariance_, "count": self.count_}


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


def _whitening(moments: Moments, shrinkage: float, weight: float | None) -> Float[Tensor, "D D"]:
    whitener = whitening(cholesky(moments.covariance(shrinkage)))
    if weight is None:
        return whitener
    mean = (whitener @ moments.covariance(0.0) @ whitener.mT).trace()
    return whitener * (weight / mean).sqrt()
