"""Moments of feature vectors in NumPy: what a server counts without torch.

``models.functional.gaussian.Moments`` is the same for tensors, and can do more.

Shapes: N = samples, D = features, P = D (D + 1) / 2.
"""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from models.errors import TrainingError


class ArrayMoments:
    """Count, mean and scatter of samples that arrive in parts, in float64.

    Args:
        dim: Number D of features.

    Attributes:
        count: Number of samples so far.
        mean: Their mean. Shape (D,).
        scatter: Sum of the outer products of their deviations from the mean. Shape (D, D).

    Example:
        >>> moments = ArrayMoments(1)
        >>> moments.update(np.array([[1.0], [2.0], [3.0]]))
        >>> moments.count, moments.mean.item(), moments.scatter.item()
        (3, 2.0, 2.0)

    References:
        Chan, Golub and LeVeque, 1979, "Updating Formulae and a Pairwise Algorithm for Computing
        Sample Variances", eq. 2.1. https://doi.org/10.1007/978-3-642-51461-6_3
    """

    def __init__(self, dim: int) -> None:
        self.count = 0
        self.mean: Float[ndarray, "D"] = np.zeros(dim)
        self.scatter: Float[ndarray, "D D"] = np.zeros((dim, dim))

    def update(self, batch: Float[ndarray, "N D"]) -> None:
        """Take in more samples.

        Raises:
            TrainingError: If one of them is not finite.
        """
        if not len(batch):
            return
        part = ArrayMoments(batch.shape[1])
        samples = batch.astype(np.float64)
        part.count, part.mean = len(samples), samples.mean(axis=0)
        if not np.isfinite(part.mean).all():
            raise TrainingError(
                "Features must be finite, got NaN or infinity. Check the images for NaN and the "
                "encoder's weights."
            )
        samples -= part.mean
        part.scatter = samples.T @ samples
        self.merge(part)

    def merge(self, other: "ArrayMoments") -> None:
        """Take in the samples that another one has seen."""
        if not other.count:
            return
        count, gap = self.count + other.count, other.mean - self.mean
        self.scatter += other.scatter + np.outer(gap, gap) * (self.count * other.count / count)
        self.mean += gap * (other.count / count)
        self.count = count

    def arrays(self) -> dict[str, ndarray]:
        """Count, mean and the lower triangle of the scatter (P,), row by row; plain float64."""
        lower = self.scatter[np.tril_indices(len(self.mean))]
        return {"count": np.array(float(self.count)), "mean": self.mean.copy(), "scatter": lower}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, ndarray]) -> "ArrayMoments":
        """The moments that ``arrays`` described, to the last bit."""
        moments = cls(len(arrays["mean"]))
        moments.count = int(arrays["count"])
        moments.mean += arrays["mean"]
        rows, columns = np.tril_indices(len(moments.mean))
        moments.scatter[rows, columns] = moments.scatter[columns, rows] = arrays["scatter"]
        return moments
