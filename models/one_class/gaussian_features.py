"""One Gaussian for each layer of a trunk, on features averaged over the whole image.

Shapes: N = images, n = images of a group, B = batch, C = channels, H W = image, D = features.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float
from lightning_fabric import Fabric
from torch import Tensor

from models.contracts import Encoder, Progress, Scores, shown, silent
from models.errors import InvalidInputError, TrainingError
from models.functional.gaussian import Moments, cholesky, mahalanobis, packed, unpacked, whitening
from models.one_class._still import Groups, StillDetector, check_still, layer_names


class GaussianFeatures(StillDetector):
    """Score an image by the Mahalanobis distances of its mean features to normal ones.

    One Gaussian for each layer; their squared distances are added. The cheapest detector: it
    learns count, mean and scatter of one vector for each image, to which images can be added and
    from which they can be forgotten exactly (``models.contracts.Additive``). It makes no map.
    Scores are distances, >= 0.

    Args:
        encoder: Trained trunk; it is frozen.
        config: Hyper-parameters.

    Attributes:
        mean_: Mean of the features of all layers. Shape (D,).
        scatter_: Lower triangle of the sum of the outer products of deviations from it.
        count_: Number of images.

    References:
        Rippel, Mertens and Merhof, 2020, "Modeling the Distribution of Normal Data in Pre-Trained
        Deep Features for Anomaly Detection", section III. https://arxiv.org/abs/2005.14140
    """

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """Hyper-parameters of the Gaussians."""

        shrinkage: float = 0.1
        """Weight of the identity in each covariance, in (0, 1]."""
        false_alarm_rate: float = 0.05
        """Probability that a normal image is called anomalous, in (0, 1)."""

        def __post_init__(self) -> None:
            check_still(self)
            if not 0 < self.shrinkage <= 1:
                raise InvalidInputError(f"shrinkage must be in (0, 1], got {self.shrinkage}.")

        def build(self, encoder: Encoder) -> "GaussianFeatures":
            """Return an unfitted detector on top of an encoder."""
            return GaussianFeatures(encoder, self)

    mean_: Tensor
    scatter_: Tensor
    count_: Tensor

    def __init__(self, encoder: Encoder, config: Config) -> None:
        super().__init__(encoder, config)
        dim = encoder.embedding_dim
        shapes = {"mean_": (dim,), "scatter_": (dim * (dim + 1) // 2,), "count_": ()}
        for name, shape in shapes.items():
            self.register_buffer(name, torch.full(shape, torch.nan, dtype=torch.float64))

    @torch.no_grad()
    def moments(
        self, batches: Iterable[Float[Tensor, "_ C H W"]], *, fabric: Fabric | None = None
    ) -> Moments:
        """Moments of the features of images, on the CPU; needs no ``fit``, changes nothing else.

        Raises:
            TrainingError: If a feature is not finite.
        """
        self.to((fabric or Fabric(accelerator="cpu", devices=1)).device)
        moments = Moments(len(self.mean_))
        for images in batches:
            moments.update(self._embed(images)[:, 0, 0].cpu())
        return moments

    @torch.no_grad()
    def fit_moments(
        self,
        moments: Moments,
        calibration: Iterable[Float[Tensor, "_ C H W"]],
        *,
        fabric: Fabric | None = None,
        progress: Progress = silent,
    ) -> "GaussianFeatures":
        """Become the detector that ``fit`` gives on images with these moments.

        Args:
            moments: Of all normal images, however they came about.
            calibration: As in ``fit``: the threshold is always computed anew.
            fabric: Device; the CPU if None.
            progress: Shows the pass over the calibration images.

        Raises:
            TrainingError: If the moments are those of too few samples or of equal ones, or there
                are too few calibration images.
        """
        self._begin(fabric)
        self._become(moments)
        self._calibrate(shown(calibration, progress, "Calibration"))
        return self

    def learned_moments(self) -> Moments:
        """The moments that the detector was fitted on, also of one that was loaded.

        Raises:
            NotFittedError: If called before ``fit``.
        """
        self._check_fitted()
        return self._stored()

    def statistics(self) -> Mapping[str, Tensor]:
        """Mean, maximum-likelihood covariance and count, float64.

        Raises:
            NotFittedError: If called before ``fit``.
        """
        self._check_fitted()
        covariance = unpacked(self.scatter_) / self.count_
        return {"mean": self.mean_, "covariance": covariance, "count": self.count_}

    def _embed(self, images: Float[Tensor, "B C H W"]) -> Float[Tensor, "B 1 1 D"]:
        """Mean features, over the region of interest."""
        self._check_roi(images.shape[-2:])
        feature_map: Tensor = self.encoder(images.to(self.threshold_.device)).float()
        looked = self.looked_at(*feature_map.shape[-2:]).to(feature_map.dtype)
        means: Tensor = (feature_map * looked).sum(dim=(2, 3)) / looked.sum()
        return means[:, None, None]

    def _learn(self, groups: Groups) -> None:
        moments = Moments(len(self.mean_), self.mean_.device)
        for vectors in groups:
            moments.update(vectors[:, 0, 0])
        self._become(moments)

    def _become(self, moments: Moments) -> None:
        if moments.count < 2 or not moments.scatter.any():
            raise TrainingError(
                f"A Gaussian needs at least 2 images that differ, got {moments.count}, all alike. "
                "Add normal images."
            )
        self.mean_.copy_(moments.mean)
        self.scatter_.copy_(packed(moments.scatter))
        self.count_.fill_(moments.count)

    def _stored(self) -> Moments:
        found = Moments(len(self.mean_), self.mean_.device)
        found.count, found.mean = int(self.count_), self.mean_.clone()
        found.scatter = unpacked(self.scatter_)
        return found

    def _distances(self, features: Float[Tensor, "n 1 1 D"]) -> Float[Tensor, "n 1 1"]:
        return self._judged(features, self._stored())

    def _distances_without(
        self,
        group: int,  # noqa: ARG002 - its features tell it
        features: Float[Tensor, "n 1 1 D"],
    ) -> Float[Tensor, "n 1 1"]:
        others = self._stored()
        left, part = others.count - len(features), Moments(len(self.mean_), self.mean_.device)
        if left < 2:
            raise TrainingError(
                "Each training image is judged by at least 2 others, got "
                f"{others.count} in all. Add normal images, or give calibration images."
            )
        part.update(features[:, 0, 0])
        gap = others.mean - part.mean
        others.scatter -= part.scatter + torch.outer(gap, gap) * (others.count * part.count / left)
        others.mean, others.count = others.mean + gap * (part.count / left), left
        return self._judged(features, others)

    def _judged(
        self, features: Float[Tensor, "n 1 1 D"], moments: Moments
    ) -> Float[Tensor, "n 1 1"]:
        """Root of the sum of the squared distances of all layers."""
        vectors, squares, first = features.double(), features.new_zeros(features.shape[0], 1, 1), 0
        for _, num in layer_names(self.encoder):
            here = slice(first, first := first + num)
            layer = moments.marginal(here)
            whitener = whitening(cholesky(layer.covariance(self.config.shrinkage)))
            squares = squares + mahalanobis(vectors[..., here], layer.mean, whitener).square()
        return squares.sqrt().float()

    def _scores(self, distances: Float[Tensor, "n 1 1"], size: torch.Size) -> Scores:  # noqa: ARG002
        return Scores(distances[:, 0, 0])
