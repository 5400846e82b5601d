"""One Gaussian of a cascade, as a module whose learned state are buffers.

Shapes: N = samples, D = features.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float
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


def _whitening(moments: Moments, shrinkage: float, weight: float | None) -> Float[Tensor, "D D"]:
    whitener = whitening(cholesky(moments.covariance(shrinkage)))
    if weight is None:
        return whitener
    mean = (whitener @ moments.covariance(0.0) @ whitener.mT).trace()
    return whitener * (weight / mean).sqrt()
