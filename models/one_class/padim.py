"""PaDiM: a Gaussian of normal features for each place of an image.

    detector = PaDiM.Config().build(trunk).fit(batches)
    moments = detector.moments(batches)     # these add up: merge, subtract, then fit_moments
    detector.contributions(image, [box])  # which layer and channels say that it is anomalous

Shapes: N = images, n = images of a group, B = batch, C = channels, H W = image, h w = places,
y x = Gaussians, G = all of them, D = features, P = D (D + 1) / 2.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from lightning_fabric import Fabric
from torch import Tensor
from torch.nn import functional

from models.capabilities import Box, Contributions
from models.contracts import Encoder, Progress, shown, silent
from models.errors import InvalidInputError, TrainingError
from models.functional.gaussian import Moments, cholesky, packed, unpacked, whitening
from models.one_class._still import Groups, PlacedDetector, check_still, layer_names

SPOKEN = 5
"""Channels that are named for a region."""
MOST_NUMBERS = 1 << 23
"""Features that moments take in at once."""


class PaDiM(PlacedDetector):
    """Score each place by its Mahalanobis distance to what normal images show there.

    Images must be aligned: a place is compared with the same place of normal images. Nothing but
    count, mean and scatter of the features is learned, which add up: images can be added and
    forgotten exactly, without looking at the others again (``models.contracts.Additive``), and
    each group of training images is judged exactly as if it had been left out. Maps are
    distances, >= 0, about the square root of D for normal places. An image is judged by how far
    they are above what is usual at each place, which the paper does not do.

    Args:
        encoder: Trained trunk; it is frozen.
        config: Hyper-parameters.

    Attributes:
        mean_: Mean features of each Gaussian. Shape (y, x, D).
        scatter_: Sums of outer products of deviations from it: lower triangles. Shape (y, x, P).
        count_: Samples of each Gaussian.

    References:
        Defard, Setkov, Loesch and Audigier, 2020, "PaDiM: a Patch Distribution Modeling Framework
        for Anomaly Detection and Localization", section 3; all features in place of a random
        choice, and shrinkage in place of a constant on the diagonal.
        https://arxiv.org/abs/2011.08785
    """

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """Hyper-parameters of PaDiM."""

        shrinkage: float = 0.03
        """Weight of the identity, times the mean variance of all places, in each covariance, in
        (0, 1]."""
        pooling: int = 3
        """Side of the square of places whose normal features describe the one in its middle, odd:
        1 is the paper's; 3 forgives objects that lie a few pixels off, and needs fewer images."""
        neighbourhood: int = 1
        """Side of the square of places over which features are averaged, odd."""
        side: int = 40
        """Gaussians along a side at most, >= 1: in larger images neighbouring places share one."""
        smoothing: float = 0.5
        """Standard deviation of the Gaussian that smooths maps, in places; 0 smooths nothing."""
        by_place: bool = True
        """Judge an image by standard deviations above what is usual at each place; False: by the
        peak of its map, as in the paper. ``PatchCore.Config`` says when."""
        false_alarm_rate: float = 0.05
        """Probability that a normal image is called anomalous, in (0, 1)."""

        def __post_init__(self) -> None:
            check_still(self)
            if not 0 < self.shrinkage <= 1 or self.side < 1 or self.pooling % 2 == 0:
                raise InvalidInputError(
                    "shrinkage must be in (0, 1], side >= 1 and pooling odd, got "
                    f"{self.shrinkage}, {self.side} and {self.pooling}."
                )

        def build(self, encoder: Encoder) -> "PaDiM":
            """Return an unfitted detector on top of an encoder."""
            return PaDiM(encoder, self)

    mean_: Tensor
    scatter_: Tensor
    count_: Tensor

    def __init__(self, encoder: Encoder, config: Config) -> None:
        super().__init__(encoder, config)
        dim = encoder.embedding_dim
        shapes = {"mean_": (0, 0, dim), "scatter_": (0, 0, dim * (dim + 1) // 2), "count_": ()}
        for name, shape in shapes.items():
            self.register_buffer(name, torch.full(shape, torch.nan, dtype=torch.float64))
        self._kept: tuple[Tensor, Tensor] | None = None

    @torch.no_grad()
    def moments(
        self, batches: Iterable[Float[Tensor, "_ C H W"]], *, fabric: Fabric | None = None
    ) -> Moments:
        """Moments of the features of images, on the CPU; needs no ``fit``, changes nothing else.

        Raises:
            TrainingError: If a feature is not finite.
            InvalidInputError: If the images differ in size.
        """
        self.to((fabric or Fabric(accelerator="cpu", devices=1)).device)
        found: Moments | None = None
        waiting: list[Tensor] = []
        for images in batches:
            samples = self._samples(self._embed(images))
            found = found or Moments(samples.shape[-1], samples.device, samples.shape[1:-1])
            if samples.shape[1:] != found.mean.shape:
                raise InvalidInputError(
                    f"All images must have one size, got {tuple(images.shape[-2:])} after others. "
                    "Set image_size in the recipe."
                )
            waiting.append(samples)
            if sum(each.numel() for each in waiting) >= MOST_NUMBERS:
                _take_in(found, torch.cat(waiting))
                waiting.clear()
        if found is None:
            return Moments(self.encoder.embedding_dim, places=(0, 0))
        if waiting:
            _take_in(found, torch.cat(waiting))
        found.mean, found.scatter = found.mean.cpu(), found.scatter.cpu()
        return found

    @torch.no_grad()
    def fit_moments(
        self,
        moments: Moments,
        calibration: Iterable[Float[Tensor, "_ C H W"]],
        *,
        fabric: Fabric | None = None,
        progress: Progress = silent,
    ) -> "PaDiM":
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
        found = Moments(self.mean_.shape[-1], self.mean_.device, self.mean_.shape[:-1])
        found.count, found.mean = int(self.count_), self.mean_.clone()
        found.scatter = unpacked(self.scatter_)
        return found

    def statistics(self) -> Mapping[str, Tensor]:
        """Mean, deviation and count of the features of each place, and ``places_``, float64.

        Raises:
            NotFittedError: If called before ``fit``.
        """
        self._check_fitted()
        deviation = self._variances().clamp(min=0).sqrt()
        found = {"mean": self.mean_, "deviation": deviation, "count": self.count_}
        return found | ({"places": self.places_.double()} if self.places_.numel() else {})

    @torch.no_grad()
    def contributions(
        self, image: Float[Tensor, "C H W"], regions: Sequence[Box]
    ) -> list[Contributions]:
        """What speaks most at the worst place of each region.

        The squared distance is a sum over channels, of deviation times whitened deviation: a
        channel's share is its term. Shares of channels that speak for the normal are negative.

        Args:
            image: One that was scored.
            regions: Boxes in it.

        Raises:
            NotFittedError: If called before ``fit``.
        """
        self._check_fitted()
        features = self._embed(image[None])
        distances = self._distances(features)[0]
        side = math.ceil(max(distances.shape) / self.config.side)
        mean, whitener = self._gaussians()
        whitener = whitener.reshape(*mean.shape, -1)
        names = [(name, n) for name, num in layer_names(self.encoder) for n in range(num)]
        found = []
        for region in regions:
            row, column, box = self._worst(distances, region, image.shape[-2:])
            at = row // side, column // side
            deviation = features[0, row, column] - mean[at]
            terms = deviation * (whitener[at].mT @ (whitener[at] @ deviation))
            shares = (terms / terms.sum()).tolist()
            channels = [(*name, share) for name, share in zip(names, shares, strict=True)]
            layers: dict[str, float] = {}
            for name, _, share in channels:
                layers[name] = layers.get(name, 0.0) + share
            channels.sort(key=lambda each: -each[2])
            found.append(
                Contributions(box, float(distances[row, column]), layers, channels[:SPOKEN])
            )
        return found

    def _learn(self, groups: Groups) -> None:
        total: Moments | None = None
        for features in groups:
            samples = self._samples(features)
            total = total or Moments(samples.shape[-1], samples.device, samples.shape[1:-1])
            _take_in(total, samples)
        assert total is not None
        self._become(total)

    def _become(self, moments: Moments) -> None:
        if moments.count < 2 or not moments.scatter.any():
            raise TrainingError(
                f"PaDiM needs at least 2 images that differ, got {moments.count}, all alike. Add "
                "normal images."
            )
        device = self.threshold_.device
        self.mean_, self.scatter_ = moments.mean.to(device), packed(moments.scatter).to(device)
        self.count_.fill_(moments.count)
        self._kept = None

    def _samples(self, features: Float[Tensor, "n h w D"]) -> Float[Tensor, "_ y x D"]:
        """Places that share a Gaussian as samples of it; a ragged edge is repeated."""
        num, height, width, dim = features.shape
        side = math.ceil(max(height, width) / self.config.side)
        if side == 1:
            return features
        rows, columns = math.ceil(height / side), math.ceil(width / side)
        beyond = (0, columns * side - width, 0, rows * side - height)
        full = functional.pad(features.permute(0, 3, 1, 2), beyond, mode="replicate")
        cells = full.reshape(num, dim, rows, side, columns, side)
        return cells.permute(0, 3, 5, 2, 4, 1).reshape(-1, rows, columns, dim)

    def _places(
        self, of_samples: Float[Tensor, "_ y x"], height: int, width: int
    ) -> Float[Tensor, "n h w"]:
        """Values of samples, at the places that they are from."""
        side = math.ceil(max(height, width) / self.config.side)
        rows, columns = of_samples.shape[1:]
        cells = of_samples.reshape(-1, side, side, rows, columns).permute(0, 3, 1, 4, 2)
        return cells.reshape(-1, rows * side, columns * side)[:, :height, :width]

    def _distances(self, features: Float[Tensor, "n h w D"]) -> Float[Tensor, "n h w"]:
        samples = self._samples(features)
        self._check_places(samples)
        mean, whitener = self._gaussians()
        centred = (samples - mean).reshape(-1, len(whitener), samples.shape[-1])
        whitened = torch.bmm(centred.transpose(0, 1), whitener.mT)
        distances = torch.linalg.vector_norm(whitened, dim=-1).mT
        return self._places(distances.reshape(samples.shape[:-1]), *features.shape[1:3])

    def _distances_without(
        self,
        group: int,  # noqa: ARG002 - its features tell it
        features: Float[Tensor, "n h w D"],
    ) -> Float[Tensor, "n h w"]:
        samples = self._samples(features).double()
        num = len(samples)
        left = int(self.count_) - num
        if left < 2:
            raise TrainingError(
                "PaDiM judges each training image by at least 2 others, got "
                f"{int(self.count_)} in all. Add normal images, or give calibration images."
            )
        middle = samples.mean(dim=0)
        gap = self.mean_ - middle
        shift = gap * math.sqrt(int(self.count_) * num / left)
        gone = torch.cat([samples - middle, shift[None]]).permute(1, 2, 0, 3)
        variances = (self._variances() * int(self.count_) - gone.square().sum(dim=2)) / left

        def covariance(row: int) -> Float[Tensor, "x D D"]:
            return unpacked(self.scatter_[row]).baddbmm_(gone[row].mT, gone[row], alpha=-1) / left

        found = []
        described = self._described(self.mean_ + gap * (num / left), covariance, variances)
        for row, (mean, each) in enumerate(described):
            centred = (samples[:, row] - mean).permute(1, 2, 0)
            whitened = torch.linalg.solve_triangular(cholesky(each), centred, upper=False)
            found.append(torch.linalg.vector_norm(whitened, dim=1).mT)
        return self._places(torch.stack(found, dim=1), *features.shape[1:3]).float()

    def _gaussians(self) -> tuple[Float[Tensor, "y x D"], Float[Tensor, "G D D"]]:
        """Means, and matrices W for which ``|W (x - mean)|`` are the distances.

        Both are kept, but not stored, since they follow from the moments.
        """
        if self._kept is None or self._kept[0].device != self.mean_.device:
            means, whiteners = [], []
            described = self._described(self.mean_, self._covariance, self._variances())
            for mean, covariance in described:
                means.append(mean.float())
                whiteners.append(whitening(cholesky(covariance)).float())
            self._kept = torch.stack(means), torch.cat(whiteners)
        return self._kept

    def _covariance(self, row: int) -> Float[Tensor, "x D D"]:
        return unpacked(self.scatter_[row]) / self.count_

    def _variances(self) -> Float[Tensor, "y x D"]:
        return self.scatter_[..., _diagonal(self.mean_.shape[-1])] / self.count_

    def _described(
        self,
        mean: Float[Tensor, "y x D"],
        covariance: Callable[[int], Float[Tensor, "x D D"]],
        variances: Float[Tensor, "y x D"],
    ) -> Iterator[tuple[Float[Tensor, "x D"], Float[Tensor, "x D D"]]]:
        """Means and covariances that places are judged by, row by row: pooled, then shrunk.

        Pooled are the first and second moments of the places around, so that the difference
        between neighbours counts as normal variation: objects may lie a little off. The identity
        has the same weight everywhere, so that a place where normal images hardly vary does not
        take every small difference for great.

        Args:
            mean: Of each place by itself.
            covariance: Of each place of a row by itself.
            variances: The diagonals of these.
        """
        looked, reach = self.looked_at(*mean.shape[:2]), self.config.pooling // 2
        target = self.config.shrinkage * variances[looked].mean()
        seconds: dict[int, Tensor] = {}
        for row in range(len(mean)):
            near = slice(max(row - reach, 0), min(row + reach + 1, len(mean)))
            numbers = range(near.start, near.stop)
            for each in numbers:
                if each not in seconds:
                    weight = looked[each, :, None, None]
                    seconds[each] = (covariance(each) + _square(mean[each])) * weight
            seconds = {each: seconds[each] for each in numbers}
            weight = _beside(looked[near].sum(dim=0).to(mean), reach).clamp(min=1e-9)[:, None]
            pooled = _beside((mean[near] * looked[near, :, None]).sum(dim=0), reach) / weight
            second = _beside(torch.stack(list(seconds.values())).sum(dim=0), reach)
            found = (second / weight[..., None] - _square(pooled)) * (1 - self.config.shrinkage)
            found.diagonal(dim1=-2, dim2=-1).add_(target)
            yield pooled, found

    def _check_places(self, samples: Float[Tensor, "_ y x D"]) -> None:
        if samples.shape[1:] != self.mean_.shape:
            learned, found = (tuple(each.shape[-3:-1]) for each in (self.mean_, samples))
            raise InvalidInputError(
                f"PaDiM compares each place with the same place of normal images: images must have "
                f"the size of those it was fitted on, {learned[0]} x {learned[1]} Gaussians, got "
                f"{found[0]} x {found[1]}. Set image_size in the recipe."
            )

    def _load_from_state_dict(self, state_dict: dict[str, Tensor], prefix: str, *rest: Any) -> None:
        super()._load_from_state_dict(state_dict, prefix, *rest)
        self._kept = None


def _take_in(moments: Moments, samples: Float[Tensor, "_ y x D"]) -> None:
    """Update moments by a part of the samples after the other: in float64 they are large."""
    for part in samples.split(max(MOST_NUMBERS // samples[0].numel(), 1)):
        moments.update(part)


def _diagonal(dim: int) -> Int[Tensor, "D"]:
    """Where the diagonal lies in the triangles of ``packed``."""
    row = torch.arange(1, dim + 1)
    return row * (row + 1) // 2 - 1


def _square(vectors: Float[Tensor, "x D"]) -> Float[Tensor, "x D D"]:
    """Outer products of vectors with themselves."""
    return vectors[:, :, None] * vectors[:, None, :]


def _beside(values: Float[Tensor, "x *D"], reach: int) -> Float[Tensor, "x *D"]:
    """Sums over each place of a row and so many to each side of it."""
    total = values.clone()
    for step in range(1, reach + 1):
        total[step:] += values[:-step]
        total[:-step] += values[step:]
    return total
