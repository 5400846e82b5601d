"""One Gaussian of a cascade, as a module whose learned state are buffers.

Shapes: N = samples, D = features.
"""

from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor, nn

from models.functional.gaussian import Moments, cholesky, mahalanobis, whitening


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
        self, moments: Moments, shrinkage: float, scale: Float[Tensor, "D"] | None = None
    ) -> None:
        """Become the Gaussian with these moments.

        Args:
            moments: Of the samples.
            shrinkage: Weight of the identity in the covariance of the scaled samples, in (0, 1].
            scale: Factors of the features before shrinkage; 1 if None.

        Raises:
            TrainingError: If all samples are equal.
        """
        scale = torch.ones_like(moments.mean) if scale is None else scale
        factor = cholesky(moments.scaled(scale).covariance(shrinkage))
        self.mean_.copy_(moments.mean)
        self.covariance_.copy_(moments.covariance(0.0))
        self.whitener_.copy_(whitening(factor) * scale)
        self.scale_.copy_(scale)
        self.count_.fill_(moments.count)

    def forward(self, samples: Float[Tensor, "*N D"]) -> Float[Tensor, "*N"]:
        """Mahalanobis distances, computed in the precision of the samples."""
        return mahalanobis(samples, self.mean_.to(samples), self.whitener_.to(samples))

    def statistics(self) -> Mapping[str, Tensor]:
        """Mean, covariance and count, float64."""
        return {"mean": self.mean_, "covariance": self.covariance_, "count": self.count_}
