"""Multivariate Gaussians: exact moments, shrunk covariance, Mahalanobis distance.

Shapes: N = samples, D = features, P = D (D + 1) / 2.
"""

from collections.abc import Iterable, Mapping

import torch
from jaxtyping import Float
from torch import Tensor

from models.errors import InvalidInputError, PrecisionLossError, TrainingError

ROUNDING = 16 * torch.finfo(torch.float64).eps
"""Relative error that moments may carry after many merges: the unit roundoff, and some room."""


class Moments:
    """Count, mean and scatter of samples that arrive in parts, in float64.

    Parts combine by the pairwise formula of Chan, Golub and LeVeque (1979), which subtracts means
    before it squares: exact to rounding even where the mean is large against the spread. So parts
    computed apart (shards, devices, machines, clips) merge to what one pass would have found, and
    a part that was merged can be taken away again.

    Args:
        dim: Number D of features.
        device: Where the moments are kept and computed.

    Attributes:
        count: Number of samples so far.
        mean: Their mean. Shape (D,).
        scatter: Sum of the outer products of their deviations from the mean. Shape (D, D).

    Example:
        >>> moments = Moments(1)
        >>> moments.update(torch.tensor([[1.0], [2.0], [3.0]]))
        >>> moments.count, moments.mean.item(), moments.scatter.item()
        (3, 2.0, 2.0)

    References:
        Chan, Golub and LeVeque, 1979, "Updating Formulae and a Pairwise Algorithm for Computing
        Sample Variances", eq. 2.1. https://doi.org/10.1007/978-3-642-51461-6_3
    """

    def __init__(self, dim: int, device: torch.device | str = "cpu") -> None:
        self.count = 0
        self.mean = torch.zeros(dim, dtype=torch.float64, device=device)
        self.scatter = torch.zeros(dim, dim, dtype=torch.float64, device=device)

    def update(self, batch: Float[Tensor, "N D"]) -> None:
        """Take in more samples.

        Raises:
            TrainingError: If one of them is not finite.
        """
        if not len(batch):
            return
        part = Moments(len(self.mean), self.mean.device)
        samples = batch.to(self.mean)
        part.count, part.mean = len(samples), samples.mean(dim=0)
        centred = samples - part.mean
        part.scatter = centred.mT @ centred
        if not part.scatter.isfinite().all():
            raise TrainingError(
                "Features must be finite, got NaN or infinity. Check the images for NaN and the "
                "encoder's weights."
            )
        self.merge(part)

    def merge(self, other: "Moments") -> None:
        """Take in the samples that another ``Moments`` has seen."""
        if not other.count:
            return
        count = self.count + other.count
        gap = other.mean.to(self.mean) - self.mean
        self.scatter += other.scatter.to(self.scatter)
        self.scatter += torch.outer(gap, gap) * (self.count * other.count / count)
        self.mean += gap * (other.count / count)
        self.count = count

    def subtract(self, other: "Moments", *, tolerance: float = 1e-9) -> None:
        """Forget samples that were taken in, as if they had never been seen.

        The formula of ``merge``, solved for one of the parts. What remains is a difference of
        larger numbers, so that digits are lost as the removed part outweighs the rest; this is
        bounded before anything changes.

        Args:
            other: Moments of the samples to forget.
            tolerance: Largest relative error that the variance of any feature may get.

        Raises:
            InvalidInputError: If these samples were not all taken in before.
            PrecisionLossError: If the error may exceed ``tolerance``; nothing was changed.
        """
        if not other.count:
            return
        left = self.count - other.count
        if left < 0:
            raise InvalidInputError(
                f"Samples to forget must have been seen: {self.count} were, {other.count} are to "
                "go. Fit again."
            )
        mean, scatter = other.mean.to(self.mean), other.scatter.to(self.scatter)
        gap = self.mean - mean
        weight = self.count * other.count / max(left, 1)
        remaining = self.scatter - scatter - torch.outer(gap, gap) * weight
        blur = ROUNDING * torch.maximum(self.mean.abs(), mean.abs())
        error = ROUNDING * (self.scatter + scatter).diagonal().abs()
        error = error + weight * ((2 * gap.abs() + blur) * blur + ROUNDING * gap**2)
        if left:
            _check_remaining(remaining, error, tolerance)
        elif error.max() < (self.scatter - scatter).abs().max():
            raise InvalidInputError("Samples to forget must be those that were seen. Fit again.")
        self.mean = (self.mean + gap * (other.count / left)) if left else torch.zeros_like(mean)
        self.scatter = remaining if left else torch.zeros_like(scatter)
        self.count = left

    def tensors(self) -> dict[str, Tensor]:
        """Count, mean and the lower triangle of the scatter (P,), row by row; plain float64."""
        rows, columns = torch.tril_indices(*self.scatter.shape).to(self.scatter.device)
        count = torch.tensor(float(self.count), dtype=torch.float64)
        return {"count": count, "mean": self.mean.clone(), "scatter": self.scatter[rows, columns]}

    @classmethod
    def from_tensors(
        cls, tensors: Mapping[str, Tensor], device: torch.device | str = "cpu"
    ) -> "Moments":
        """The moments that ``tensors`` described, to the last bit."""
        moments = cls(len(tensors["mean"]), device)
        moments.count = int(tensors["count"])
        moments.mean += tensors["mean"].to(moments.mean)
        rows, columns = torch.tril_indices(*moments.scatter.shape).to(moments.scatter.device)
        moments.scatter[rows, columns] = tensors["scatter"].to(moments.scatter)
        moments.scatter[columns, rows] = moments.scatter[rows, columns]
        return moments

    @classmethod
    def combined(cls, parts: Iterable["Moments"], dim: int) -> "Moments":
        """Moments of the samples of all parts together; ``dim`` features."""
        total = cls(dim)
        for part in parts:
            total.merge(part)
        return total

    def scaled(self, factors: Float[Tensor, "D"]) -> "Moments":
        """Moments of the same samples with each feature multiplied by a factor."""
        scaled = Moments(len(self.mean), self.mean.device)
        scaled.count, scaled.mean = self.count, self.mean * factors
        scaled.scatter = self.scatter * torch.outer(factors, factors)
        return scaled

    def marginal(self, features: slice) -> "Moments":
        """Moments of some of the features of the same samples."""
        part = Moments(len(self.mean[features]), self.mean.device)
        part.count, part.mean = self.count, self.mean[features].clone()
        part.scatter = self.scatter[features, features].clone()
        return part

    def covariance(self, shrinkage: float) -> Float[Tensor, "D D"]:
        """Maximum-likelihood covariance S, pulled towards a multiple of the identity.

        ``(1 - shrinkage) * S + shrinkage * trace(S) / D * I``: positive definite for every
        ``shrinkage > 0`` unless all samples are equal, even with fewer samples than features or
        with features that are constant.

        Args:
            shrinkage: Weight of the identity, in [0, 1].

        Raises:
            TrainingError: If no two samples differ, or there are none.

        References:
            Ledoit and Wolf, 2004. https://doi.org/10.1016/S0047-259X(03)00096-4
        """
        if not 0 <= shrinkage <= 1:
            raise ValueError(f"shrinkage must be in [0, 1], got {shrinkage}.")
        total = self.scatter.diagonal().sum()
        if not self.count or total <= 0:
            raise TrainingError(
                f"A Gaussian needs samples that vary, got {self.count} equal ones. Check that the "
                "images are not constant and that the encoder is trained."
            )
        covariance = self.scatter * ((1 - shrinkage) / self.count)
        covariance.diagonal().add_(shrinkage * total / (self.count * len(self.mean)))
        return covariance


def _check_remaining(
    scatter: Float[Tensor, "D D"], error: Float[Tensor, "D"], tolerance: float
) -> None:
    """Refuse what is left of a scatter if it is inexact, or none: no sum of squares.

    Args:
        scatter: Difference of two scatters.
        error: Bound of the error of its diagonal.
        tolerance: Largest share of the diagonal that it may be.
    """
    variance = scatter.diagonal()
    deviation = variance.clamp(min=0).sqrt()
    known = variance > error / tolerance
    unit = torch.where(known, 1 / deviation.clamp(min=torch.finfo(scatter.dtype).tiny), 0)
    correlation = scatter * torch.outer(unit, unit)
    correlation.diagonal().add_(tolerance * len(scatter) + (~known).to(correlation))
    _, failed = torch.linalg.cholesky_ex(correlation)
    if failed or (variance < -error).any():
        raise InvalidInputError(
            "Samples to forget must be among those that were seen: without them the scatter is "
            "not that of any samples. Fit again."
        )
    lost = ~known & (error > 0)
    if lost.any():
        raise PrecisionLossError(
            f"Taking samples away must leave every variance exact to {tolerance:.0e}, and "
            f"{int(lost.sum())} of {len(lost)} features would lose more: almost all of their "
            "spread was in what is taken away. Fit again on what remains."
        )


def cholesky(covariance: Float[Tensor, "D D"]) -> Float[Tensor, "D D"]:
    """Lower factor L of a covariance ``L @ L.mT``.

    Raises:
        TrainingError: If the covariance is singular in floating point.
    """
    factor, failed = torch.linalg.cholesky_ex(covariance)
    if failed:
        raise TrainingError(
            f"The covariance of {len(covariance)} features must be positive definite, and is "
            "singular: features are constant or depend on each other. Raise shrinkage above 0."
        )
    return Tensor(factor)


def whitening(factor: Float[Tensor, "D D"]) -> Float[Tensor, "D D"]:
    """Matrix W for which ``|W (x - mean)|`` is the Mahalanobis distance: the inverse of L."""
    identity = torch.eye(len(factor), dtype=factor.dtype, device=factor.device)
    inverse: Tensor = torch.linalg.solve_triangular(factor, identity, upper=False)
    return inverse


def mahalanobis(
    samples: Float[Tensor, "*B D"], mean: Float[Tensor, "D"], whitener: Float[Tensor, "D D"]
) -> Float[Tensor, "*B"]:
    """Mahalanobis distance of each sample to a Gaussian.

    Args:
        samples: Points.
        mean: Mean of the Gaussian.
        whitener: Its ``whitening`` matrix.

    Returns:
        Distances: dimensionless, 0 at the mean, about ``sqrt(D)`` for a sample of the Gaussian.
    """
    whitened = (samples - mean) @ whitener.mT
    distance: Tensor = torch.linalg.vector_norm(whitened, dim=-1)
    return distance
