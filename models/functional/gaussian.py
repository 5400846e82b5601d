"""Multivariate Gaussians: exact moments, shrunk covariance, Mahalanobis distance.

Shapes: N = samples, D = features, P = D (D + 1) / 2; a leading ``*L`` are Gaussians side by side,
such as one for each place of an image.
"""

import math
from collections.abc import Iterable, Mapping, Sequence

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
        places: Shape ``*L`` of moments side by side, of which each sample has a vector for each.

    Attributes:
        count: Number of samples so far.
        mean: Their mean. Shape (*L, D).
        scatter: Sum of the outer products of their deviations from the mean. Shape (*L, D, D).

    Example:
        >>> moments = Moments(1)
        >>> moments.update(torch.tensor([[1.0], [2.0], [3.0]]))
        >>> moments.count, moments.mean.item(), moments.scatter.item()
        (3, 2.0, 2.0)

    References:
        Chan, Golub and LeVeque, 1979, "Updating Formulae and a Pairwise Algorithm for Computing
        Sample Variances", eq. 2.1. https://doi.org/10.1007/978-3-642-51461-6_3
    """

    def __init__(
        self, dim: int, device: torch.device | str = "cpu", places: Sequence[int] = ()
    ) -> None:
        self.count = 0
        self.mean = torch.zeros(*places, dim, dtype=torch.float64, device=device)
        self.scatter = torch.zeros(*places, dim, dim, dtype=torch.float64, device=device)

    def _empty(self) -> "Moments":
        """Of no samples, in the shape of these."""
        return Moments(self.mean.shape[-1], self.mean.device, self.mean.shape[:-1])

    def update(self, batch: Float[Tensor, "N *L D"]) -> None:
        """Take in more samples.

        Raises:
            TrainingError: If one of them is not finite.
        """
        if not len(batch):
            return
        samples = batch.to(self.mean)
        mean = samples.mean(dim=0)
        if not mean.isfinite().all():
            raise TrainingError(
                "Features must be finite, got NaN or infinity. Check the images for NaN and the "
                "encoder's weights."
            )
        count, gap = self.count + len(samples), mean - self.mean
        # One product takes in the samples and, as one more of them, the gap between the means.
        shift = (gap * math.sqrt(self.count * len(samples) / count))[None]
        rows = torch.cat([samples - mean, shift]).movedim(0, -2)
        if rows.ndim == 2:
            self.scatter.addmm_(rows.mT, rows)
        else:
            flat = rows.flatten(end_dim=-3)
            self.scatter.flatten(end_dim=-3).baddbmm_(flat.mT, flat)
        self.mean += gap * (len(samples) / count)
        self.count = count

    def merge(self, other: "Moments") -> None:
        """Take in the samples that another ``Moments`` has seen."""
        if not other.count:
            return
        count = self.count + other.count
        gap = other.mean.to(self.mean) - self.mean
        if other.count > 1:
            self.scatter += other.scatter.to(self.scatter)
        self.scatter += _outer(gap, gap) * (self.count * other.count / count)
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
        remaining = self.scatter - scatter - _outer(gap, gap) * weight
        blur = ROUNDING * torch.maximum(self.mean.abs(), mean.abs())
        error = ROUNDING * (_diagonal(self.scatter) + _diagonal(scatter)).abs()
        error = error + weight * ((2 * gap.abs() + blur) * blur + ROUNDING * gap**2)
        if left:
            _check_remaining(remaining, error, tolerance)
        elif error.max() < (self.scatter - scatter).abs().max():
            raise InvalidInputError("Samples to forget must be those that were seen. Fit again.")
        self.mean = (self.mean + gap * (other.count / left)) if left else torch.zeros_like(mean)
        self.scatter = remaining if left else torch.zeros_like(scatter)
        self.count = left

    def tensors(self) -> dict[str, Tensor]:
        """Count, mean and the lower triangle of the scatter (*L, P), row by row; plain float64.

        The scatter of one sample at many places is 0, and left empty.
        """
        count = torch.tensor(float(self.count), dtype=torch.float64)
        left_out = self.count == 1 and self.mean.ndim > 1
        scatter = self.scatter.new_zeros(0) if left_out else packed(self.scatter)
        return {"count": count, "mean": self.mean.clone(), "scatter": scatter}

    @classmethod
    def from_tensors(
        cls, tensors: Mapping[str, Tensor], device: torch.device | str = "cpu"
    ) -> "Moments":
        """The moments that ``tensors`` described, to the last bit."""
        *places, dim = tensors["mean"].shape
        moments = cls(dim, device, places)
        moments.count = int(tensors["count"])
        moments.mean += tensors["mean"].to(moments.mean)
        if len(tensors["scatter"]):
            moments.scatter = unpacked(tensors["scatter"].to(moments.scatter))
        return moments

    @classmethod
    def combined(cls, parts: Iterable["Moments"], dim: int) -> "Moments":
        """Moments of the samples of all parts together; ``dim`` features."""
        total: Moments | None = None
        for part in parts:
            total = total or part._empty()  # noqa: SLF001 - its own kind
            total.merge(part)
        return total or cls(dim)

    def scaled(self, factors: Float[Tensor, "D"]) -> "Moments":
        """Moments of the same samples with each feature multiplied by a factor."""
        scaled = self._empty()
        scaled.count, scaled.mean = self.count, self.mean * factors
        scaled.scatter = self.scatter * _outer(factors, factors)
        return scaled

    def marginal(self, features: slice) -> "Moments":
        """Moments of some of the features of the same samples."""
        mean = self.mean[..., features].clone()
        part = Moments(mean.shape[-1], mean.device, mean.shape[:-1])
        part.count, part.mean = self.count, mean
        part.scatter = self.scatter[..., features, features].clone()
        return part

    def covariance(self, shrinkage: float) -> Float[Tensor, "*L D D"]:
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
        total = _diagonal(self.scatter).sum(dim=-1, keepdim=True)
        if not self.count or (total <= 0).any():
            raise TrainingError(
                f"A Gaussian needs samples that vary, got {self.count} equal ones. Check that the "
                "images are not constant and that the encoder is trained."
            )
        covariance = self.scatter * ((1 - shrinkage) / self.count)
        _diagonal(covariance).add_(shrinkage * total / (self.count * self.mean.shape[-1]))
        return covariance


def _check_remaining(
    scatter: Float[Tensor, "*L D D"], error: Float[Tensor, "*L D"], tolerance: float
) -> None:
    """Refuse what is left of a scatter if it is inexact, or none: no sum of squares.

    Args:
        scatter: Difference of two scatters.
        error: Bound of the error of its diagonal.
        tolerance: Largest share of the diagonal that it may be.
    """
    variance = _diagonal(scatter)
    deviation = variance.clamp(min=0).sqrt()
    known = variance > error / tolerance
    unit = torch.where(known, 1 / deviation.clamp(min=torch.finfo(scatter.dtype).tiny), 0)
    correlation = scatter * _outer(unit, unit)
    _diagonal(correlation).add_(tolerance * scatter.shape[-1] + (~known).to(correlation))
    _, failed = torch.linalg.cholesky_ex(correlation)
    if failed.any() or (variance < -error).any():
        raise InvalidInputError(
            "Samples to forget must be among those that were seen: without them the scatter is "
            "not that of any samples. Fit again."
        )
    lost = ~known & (error > 0)
    if lost.any():
        raise PrecisionLossError(
            f"Taking samples away must leave every variance exact to {tolerance:.0e}, and "
            f"{int(lost.sum())} of {lost.numel()} features would lose more: almost all of their "
            "spread was in what is taken away. Fit again on what remains."
        )


def packed(matrices: Float[Tensor, "*L D D"]) -> Float[Tensor, "*L P"]:
    """Lower triangles, row by row."""
    rows, columns = torch.tril_indices(*matrices.shape[-2:]).to(matrices.device)
    return matrices[..., rows, columns]


def unpacked(triangles: Float[Tensor, "*L P"]) -> Float[Tensor, "*L D D"]:
    """The symmetric matrices of which ``packed`` gave the triangles."""
    dim = (math.isqrt(8 * triangles.shape[-1] + 1) - 1) // 2
    number = torch.arange(dim, device=triangles.device)
    lower, upper = torch.maximum(number[:, None], number), torch.minimum(number[:, None], number)
    places = lower * (lower + 1) // 2 + upper
    matrices: Tensor = triangles.index_select(-1, places.flatten()).unflatten(-1, (dim, dim))
    return matrices


def _outer(one: Float[Tensor, "*L D"], other: Float[Tensor, "*L D"]) -> Float[Tensor, "*L D D"]:
    return one[..., :, None] * other[..., None, :]


def _diagonal(matrices: Float[Tensor, "*L D D"]) -> Float[Tensor, "*L D"]:
    return matrices.diagonal(dim1=-2, dim2=-1)


def cholesky(covariance: Float[Tensor, "*L D D"]) -> Float[Tensor, "*L D D"]:
    """Lower factor L of a covariance ``L @ L.mT``.

    Raises:
        TrainingError: If the covariance is singular in floating point.
    """
    factor: Tensor
    factor, failed = torch.linalg.cholesky_ex(covariance)
    if failed.any():
        raise TrainingError(
            f"The covariance of {covariance.shape[-1]} features must be positive definite, and is "
            "singular: features are constant or depend on each other. Raise shrinkage above 0."
        )
    return factor


def whitening(factor: Float[Tensor, "*L D D"]) -> Float[Tensor, "*L D D"]:
    """Matrix W for which ``|W (x - mean)|`` is the Mahalanobis distance: the inverse of L."""
    identity = torch.eye(factor.shape[-1], dtype=factor.dtype, device=factor.device)
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
