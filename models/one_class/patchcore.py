"""PatchCore: the distance of each patch to the nearest of a few that cover all normal ones.

An image is judged by how far that is above what is usual at the place, which the paper does not do.

    detector = PatchCore.Config().build(trunk).fit(batches)
    detector.nearest_patches(image, [box])  # the training patch that a region is nearest to
    detector.add(more_batches)              # the memory is as if they had been there from the first
    detector.forget([17])                   # without the patches of the 18th training image

Shapes: B = batch, C = channels, H W = image, h w = places, n = images of a group, N = patches,
M = memory, D = features.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from lightning_fabric import Fabric
from torch import Tensor

from models.capabilities import Box, NearestPatch
from models.contracts import Encoder, Progress, shown, silent
from models.errors import InvalidInputError, TrainingError
from models.functional.coreset import greedy_coreset
from models.one_class._still import Groups, PlacedDetector, check_still

AT_ONCE = 8192
"""Patches that are compared at once."""
PART = 512
"""Patches of the memory that they are compared with at once: what a processor's cache holds."""
VARIANCE = 0.95
"""Share of the memory's variance along the principal axes that the nearest patch is searched by."""
MANY = 64
"""Features from which that is worth it; of fewer, all are searched by."""


class PatchCore(PlacedDetector):
    """Score each place by its distance to the nearest patch in a memory of normal ones.

    Objects may lie anywhere: a place is compared with every place of normal images. The memory is
    the union of greedy coresets, one of each group of consecutive training images. So a group can
    be left out, to judge its images by the others, or added, exactly as if the memory had been
    made without or with it; and each choice reads the patches of its group alone. The score of an
    image is weighed by how rare its nearest patch is in the memory. Scores are Euclidean
    distances, >= 0. The nearest patch is searched along the principal axes of the memory that hold
    95% of its variance, which saves a third of the time or more: what is found is farther than the
    nearest by .7% on average at most, on four sets. The distance to it is that of all features.

    Args:
        encoder: Trained trunk; it is frozen.
        config: Hyper-parameters.

    Attributes:
        memory_: Normal patches. Shape (M, D), float32.
        origin_: Of each: number of its training image, row and column of its place, and number of
            its group. Shape (M, 4), int64.
        seen_: Rows and columns of places of an image; images and groups that were seen. Shape (4,).
        axes_: Principal axes of the memory, by which the nearest patch is searched; none with few
            features, and in detectors of before, which search by all. Shape (D, k), float32.

    References:
        Roth et al., 2022, "Towards Total Recall in Industrial Anomaly Detection", sections 3.1 to
        3.3; unions of coresets: Malkomes et al., 2015, "Fast Distributed k-Center Clustering with
        Outliers on Massive Data", lemma 1. https://arxiv.org/abs/2106.08265
    """

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """Hyper-parameters of PatchCore."""

        coreset: float = 0.03
        """Share of the patches that are remembered, in (0, 1]."""
        neighbourhood: int = 3
        """Side of the square of places over which features are averaged, odd."""
        num_neighbours: int = 9
        """Patches of the memory that tell how rare the nearest one is, >= 1; 1 weighs nothing."""
        smoothing: float = 0.5
        """Standard deviation of the Gaussian that smooths maps, in places; 0 smooths nothing."""
        by_place: bool = True
        """Judge an image by standard deviations above what is usual at each place; False: by the
        peak of its map, as in the paper. Frames of a few clips do not tell what is usual: their
        light hardly changes within a clip, and differs from one to the next."""
        false_alarm_rate: float = 0.05
        """Probability that a normal image is called anomalous, in (0, 1)."""

        def __post_init__(self) -> None:
            check_still(self)
            if not 0 < self.coreset <= 1 or self.num_neighbours < 1:
                raise InvalidInputError(
                    "coreset must be in (0, 1] and num_neighbours >= 1, got "
                    f"{self.coreset} and {self.num_neighbours}."
                )

        def build(self, encoder: Encoder) -> "PatchCore":
            """Return an unfitted detector on top of an encoder."""
            return PatchCore(encoder, self)

    memory_: Tensor
    origin_: Tensor
    seen_: Tensor
    axes_: Tensor

    def __init__(self, encoder: Encoder, config: Config) -> None:
        super().__init__(encoder, config)
        self.register_buffer("memory_", torch.zeros(0, encoder.embedding_dim))
        self.register_buffer("origin_", torch.zeros(0, 4, dtype=torch.long))
        self.register_buffer("seen_", torch.full((4,), torch.nan, dtype=torch.float64))
        self.register_buffer("axes_", torch.zeros(encoder.embedding_dim, 0))

    @torch.no_grad()
    def add(
        self,
        batches: Iterable[Float[Tensor, "_ C H W"]],
        calibration: Iterable[Float[Tensor, "_ C H W"]] | None = None,
        *,
        fabric: Fabric | None = None,
        progress: Progress = silent,
    ) -> "PatchCore":
        """Take in more normal images, as groups of their own; all that was learned stays.

        The memory is exactly that of a fit on the same groups; what is usual at a place is learned
        anew from calibration images alone. Numbers of images go on from those that were seen.

        Args:
            batches: Normal images of the same size; iterated once.
            calibration: Normal images that set the threshold anew; it stays as it is if None.
            fabric: Device; the CPU if None.
            progress: Shows the passes over the data.

        Raises:
            NotFittedError: If called before ``fit``.
        """
        self._check_fitted()
        self.to((fabric or Fabric(accelerator="cpu", devices=1)).device)
        self._take_in(self._groups(shown(batches, progress, "Features of normal images")))
        if calibration is not None:
            self._calibrate(shown(calibration, progress, "Calibration"))
        return self

    @torch.no_grad()
    def forget(
        self,
        images: Sequence[int],
        calibration: Iterable[Float[Tensor, "_ C H W"]] | None = None,
        *,
        fabric: Fabric | None = None,
        progress: Progress = silent,
    ) -> "PatchCore":
        """Remove the patches of some training images from the memory.

        None of their patches is left, and no other is touched. Not exact in one respect: patches
        of the same group that were passed over because one of these stood for them are not taken
        in again, as a fit without these images would. Forgetting all images of a group is exact.

        Args:
            images: Numbers of training images, in the order in which they were seen.
            calibration: Normal images that set the threshold anew; it stays as it is if None.
            fabric: Device; the CPU if None.
            progress: Shows the pass over the calibration images.

        Raises:
            NotFittedError: If called before ``fit``.
            InvalidInputError: If there is no such image, or no patch would be left.
        """
        self._check_fitted()
        self.to((fabric or Fabric(accelerator="cpu", devices=1)).device)
        unknown = [number for number in images if not 0 <= number < int(self.seen_[2])]
        gone = torch.isin(self.origin_[:, 0], torch.tensor(list(images)).to(self.origin_))
        if unknown or gone.all():
            raise InvalidInputError(
                f"Images to forget must be among the {int(self.seen_[2])} that were seen, and not "
                f"all of them, got {list(images)}. Fit again."
            )
        self.memory_, self.origin_ = self.memory_[~gone], self.origin_[~gone]
        self.axes_ = principal_axes(self.memory_)
        if calibration is not None:
            self._calibrate(shown(calibration, progress, "Calibration"))
        return self

    def statistics(self) -> Mapping[str, Tensor]:
        """The memory, where its patches are from, how many there are, and ``places_``, float64.

        Raises:
            NotFittedError: If called before ``fit``.
        """
        self._check_fitted()
        found = {"memory": self.memory_, "origin": self.origin_, "seen": self.seen_}
        if self.places_.numel():
            found["places"] = self.places_
        return {name: value.double() for name, value in found.items()}

    @torch.no_grad()
    def nearest_patches(
        self, image: Float[Tensor, "C H W"], regions: Sequence[Box]
    ) -> list[NearestPatch]:
        """The training patch that the farthest place of each region is nearest to.

        Args:
            image: One that was scored.
            regions: Boxes in it.

        Raises:
            NotFittedError: If called before ``fit``.
        """
        self._check_fitted()
        features = self._embed(image[None])[0]
        distances, nearest = self._nearest(features.flatten(0, 1), self.memory_)
        size, field = image.shape[-2:], self.encoder.receptive_field
        found = []
        for region in regions:
            row, column, box = self._worst(distances.view(features.shape[:2]), region, size)
            place = row * features.shape[1] + column
            number, *there, _ = self.origin_[nearest[place]].tolist()
            patch = Box(*field.box(*there, *size))
            found.append(NearestPatch(number, patch, box, float(distances[place])))
        return found

    def _learn(self, groups: Groups) -> None:
        self.memory_ = self.memory_.new_zeros(0, self.memory_.shape[1])
        self.origin_ = self.origin_.new_zeros(0, 4)
        self.seen_.zero_()
        self.places_ = self.places_.new_zeros(2, 0, 0)
        self._take_in(groups)

    def _take_in(self, groups: Groups) -> None:
        memory, origin = [self.memory_], [self.origin_]
        images, group = (int(number) for number in self.seen_[2:])
        for place_of, features in enumerate(groups):
            looked = self.looked_at(*features.shape[1:3])
            patches = features[:, looked].flatten(0, 1)
            chosen = greedy_coreset(patches, math.ceil(self.config.coreset * len(patches)))
            memory.append(patches[chosen])
            place = looked.nonzero()[chosen % int(looked.sum())]
            numbers = groups.numbers[place_of].to(chosen.device)
            number = images + numbers[chosen // int(looked.sum())]
            origin.append(torch.column_stack([number, place, torch.full_like(number, group)]))
            group += 1
            self.seen_.copy_(torch.tensor([*features.shape[1:3], images, group]))
        self.seen_[2] += groups.num_images
        self.memory_, self.origin_ = torch.cat(memory), torch.cat(origin)
        self.axes_ = principal_axes(self.memory_)

    def _distances(self, features: Float[Tensor, "n h w D"]) -> Float[Tensor, "n h w"]:
        return self._judged(features, self.memory_)

    def _distances_without(
        self, group: int, features: Float[Tensor, "n h w D"]
    ) -> Float[Tensor, "n h w"]:
        others = self.memory_[self.origin_[:, 3] != group]
        if not len(others):
            raise TrainingError(
                "PatchCore judges each training image by other ones, got a single group. Add "
                "normal images, or give calibration images."
            )
        return self._judged(features, others)

    def _load_from_state_dict(self, state_dict: dict[str, Tensor], prefix: str, *rest: Any) -> None:
        """Detectors of before, which searched by all features, go on to."""
        state_dict.setdefault(f"{prefix}axes_", self.axes_.new_zeros(len(self.axes_), 0))
        super()._load_from_state_dict(state_dict, prefix, *rest)

    def _judged(
        self, features: Float[Tensor, "n h w D"], memory: Float[Tensor, "M D"]
    ) -> Float[Tensor, "n h w"]:
        """Distances of each image's places, weighed by how rare its farthest place's nearest is.

        ``1 - exp(d) / sum of exp(d_b)`` over the distances of that place to the patches b next to
        its nearest one, itself included: section 3.3, equation 7.
        """
        looked = self.looked_at(*features.shape[1:3])
        if torch.compiler.is_exporting():
            return self._judged_everywhere(features, memory, looked)
        patches = features[:, looked]
        distances, nearest = self._nearest(patches.flatten(0, 1), memory)
        found = features.new_zeros(features.shape[:3])
        distances = distances.view(patches.shape[:2])
        num = min(self.config.num_neighbours, len(memory))
        if num > 1:
            worst = distances.argmax(dim=1)
            image = torch.arange(len(worst), device=worst.device)
            centre = memory[nearest.view(patches.shape[:2])[image, worst]]
            distances = distances * self._rarity(patches[image, worst], centre, memory)
        found[:, looked] = distances
        return found

    def _judged_everywhere(
        self,
        features: Float[Tensor, "n h w D"],
        memory: Float[Tensor, "M D"],
        looked: Bool[Tensor, "h w"],
    ) -> Float[Tensor, "n h w"]:
        """The same as a program computes it, with operations whose sizes are known beforehand."""
        patches = features.flatten(1, 2)
        distances, nearest = self._nearest(patches.flatten(0, 1), memory)
        distances = distances.view(patches.shape[:2]) * looked.flatten()
        if min(self.config.num_neighbours, len(memory)) > 1:
            worst = distances.argmax(dim=1, keepdim=True)
            farthest = patches.gather(1, worst[:, :, None].expand(-1, 1, patches.shape[2]))[:, 0]
            centre = memory[nearest.view(patches.shape[:2]).gather(1, worst)[:, 0]]
            distances = distances * self._rarity(farthest, centre, memory)
        return distances.view(features.shape[:3])

    def _rarity(
        self,
        farthest: Float[Tensor, "n D"],
        centre: Float[Tensor, "n D"],
        memory: Float[Tensor, "M D"],
    ) -> Float[Tensor, "n 1"]:
        """Weight of each image, from its farthest patch and that one's nearest in the memory."""
        num = min(self.config.num_neighbours, len(memory))
        support = torch.cdist(centre, memory).topk(num, largest=False).indices
        apart = (farthest[:, None] - memory[support]).norm(dim=-1)
        weight: Tensor = 1 - apart.softmax(dim=1)[:, :1]
        return weight

    def _nearest(
        self, patches: Float[Tensor, "N D"], memory: Float[Tensor, "M D"]
    ) -> tuple[Float[Tensor, "N"], Int[Tensor, "N"]]:
        """Distance of each patch to the nearest in the memory, and which that is.

        A product of matrices finds it; its distance is then computed anew, free of cancellation.
        """
        if torch.compiler.is_exporting():
            return self._nearest_of(patches, memory)
        found = [self._nearest_of(part, memory) for part in patches.split(AT_ONCE)]
        return torch.cat([each for each, _ in found]), torch.cat([each for _, each in found])

    def _nearest_of(
        self, patches: Float[Tensor, "N D"], memory: Float[Tensor, "M D"]
    ) -> tuple[Float[Tensor, "N"], Int[Tensor, "N"]]:
        # |p - m|^2 = |p|^2 + (p, 1) . (-2 m, |m|^2): an engine multiplies by constants alone.
        middle, axes = memory.mean(dim=0), self.axes_
        centred, least, places = patches - middle, [], []
        along = centred @ axes if axes.numel() else centred
        wide = torch.cat([along, torch.ones_like(centred[:, :1])], dim=1)
        for number, part in enumerate((memory - middle).split(PART)):
            there = part @ axes if axes.numel() else part
            weights = torch.cat([-2 * there, there.square().sum(dim=1, keepdim=True)], dim=1)
            apart = wide @ weights.mT.contiguous()
            place = apart.argmin(dim=1, keepdim=True)
            least.append(apart.gather(1, place))
            places.append(place + number * PART)
        best = torch.cat(least, dim=1).argmin(dim=1, keepdim=True)
        nearest = torch.cat(places, dim=1).gather(1, best)[:, 0]
        return (patches - memory[nearest]).norm(dim=1), nearest


def principal_axes(memory: Float[Tensor, "M D"]) -> Float[Tensor, "D k"]:
    """Axes along which patches differ most, as few as hold ``VARIANCE`` of their variance.

    None with fewer features than ``MANY``.

    Args:
        memory: Patches.
    """
    if memory.shape[1] < MANY:
        return memory.new_zeros(memory.shape[1], 0)
    middle = memory.mean(dim=0)
    scatter = memory.new_zeros(2 * memory.shape[1:], dtype=torch.float64)
    for part in memory.split(AT_ONCE):
        centred = (part - middle).double()
        scatter += centred.mT @ centred
    variances, axes = torch.linalg.eigh(scatter.cpu())
    share = variances.flip(0).clamp(min=0).cumsum(0) / variances.clamp(min=0).sum().clamp(min=1e-30)
    num = min(int((share < VARIANCE).sum()) + 1, len(axes))
    chosen: Tensor = axes.flip(1)[:, :num].to(memory).contiguous()
    return chosen
