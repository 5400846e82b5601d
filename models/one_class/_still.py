"""What detectors of still images have in common: places, maps, thresholds, a region of interest.

    trunk = PretrainedTrunk.Config().build().load_pretrained()
    detector = PaDiM.Config().build(trunk)
    detector.restrict(mask)          # optional: where to look, (H, W), kept with the weights
    detector.fit(batches)            # cross-conformal: each image sets thresholds once
    detector.held_out_               # scores of each by what the others taught, for p-values
    detector.fit(batches, others)    # or: other normal images alone set the thresholds

Shapes: N = images, n = images of a group, B = batch, C = channels, H W = image, h w = places,
D = features.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import torch
from jaxtyping import Bool, Float
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.nn import functional

from models.capabilities import Box, HeldOut, Layered
from models.contracts import Encoder, Progress, Scores, shown, silent
from models.errors import InvalidInputError, NotFittedError, TrainingError
from models.fitting import check_rate
from models.functional.conformal import smallest_p_value, threshold_at
from models.functional.smoothing import interpolation
from models.memory import keep_freed_memory

NUM_GROUPS = 5
"""Into which images are cut to take turns at setting the thresholds."""
KEPT_BYTES = 1 << 30
"""Features that are kept in memory from one pass to the next; more are computed again."""
FEWEST = 50
"""Images from which it is told what is usual at a place; with fewer, the peak of a map counts."""
PRIOR = 10.0
"""Images that the mean variance of all places weighs as much as, beside that of each place."""


class Groups:
    """Features of images, in groups, as often as they are wanted.

    The images go to the groups in turn, so that each group is like all of them: the promise of a
    conformal threshold holds for images that are drawn like these. Groups of images whose features
    are too many to keep are runs of consecutive ones.

    Args:
        batches: Normal images.
        embed: Makes the features of a batch.
        num: Groups, if all features can be kept; else more.

    Attributes:
        size: Height and width of the images, once they were read.
        num_images: How many, once they were read.
        num_groups: Groups, if all features can be kept.
        numbers: Of the images of each group, in their order, as far as they were read.
    """

    def __init__(self, batches: Iterable[Tensor], embed: Any, num: int) -> None:
        self._batches, self._embed, self.num_groups = batches, embed, num
        self._kept: list[Tensor] | None = None
        self._length = 0
        self.size: torch.Size | None = None
        self.num_images = 0
        self.numbers: list[Tensor] = []

    def __iter__(self) -> Iterator[Float[Tensor, "_ h w D"]]:
        if self._kept is not None:
            yield from self._kept
            return
        start: list[Tensor] = []
        stream, held = self._stream(), 0
        for features in stream:
            start.append(features)
            held += features.numel() * features.element_size()
            if held > KEPT_BYTES:
                break
        self.num_images = sum(map(len, start))
        if not self.num_images:
            raise TrainingError("Training needs images, got none. Add some to train/good.")
        if held <= KEPT_BYTES:
            num = min(self.num_groups, self.num_images)
            self.numbers = [torch.arange(first, self.num_images, num) for first in range(num)]
            joined = torch.cat(start)
            start.clear()
            self._kept = [joined[each.to(joined.device)] for each in self.numbers]
            yield from self._kept
            return
        self._length = self._length or max(self.num_images // self.num_groups, 1)
        self.numbers, first = [], 0
        for group in self._cut(start, stream):
            self.numbers.append(torch.arange(first, first := first + len(group)))
            yield group

    def _cut(self, start: list[Tensor], stream: Iterator[Tensor]) -> Iterator[Tensor]:
        """Groups of one length from features that come in batches of any."""
        waiting = torch.cat(start)
        start.clear()
        for features in stream:
            self.num_images += len(features)
            waiting = torch.cat([waiting, features])
            while len(waiting) > self._length:
                yield waiting[: self._length]
                waiting = waiting[self._length :]
        yield from waiting.split(self._length)

    def _stream(self) -> Iterator[Float[Tensor, "_ h w D"]]:
        for images in self._batches:
            if self.size not in (None, images.shape[-2:]):
                raise InvalidInputError(
                    f"All images must have one size, got {tuple(images.shape[-2:])} after "
                    f"{tuple(self.size or ())}. Set image_size in the recipe."
                )
            self.size = images.shape[-2:]
            features = self._embed(images)
            if not features.isfinite().all():
                raise TrainingError(
                    "Features must be finite, got NaN or infinity. Check the images for NaN and "
                    "the encoder's weights."
                )
            yield features


class StillDetector(nn.Module, ABC):
    """Score the places of an image, make a smooth map of it, and take its peak.

    Unless a subclass says otherwise, the score of an image is the largest value of its map, so that
    an image is anomalous exactly if one of its pixels is, and one threshold serves both. It is the
    conformal one: the smallest that a normal image reaches with probability ``false_alarm_rate`` at
    most, if it is drawn like those that set it.

    A subclass says what is learned from groups of images, and how far places are from it, also
    without one of the groups.

    Args:
        encoder: Trained trunk; it is frozen.
        config: Hyper-parameters, with those that ``check_still`` looks at.

    Attributes:
        held_out_: Scores of the images that set the thresholds, in their order; None before
            ``fit``, and after loading.
        roi: Where to look: at 1; empty for everywhere. Shape (H, W).
        threshold_: Score from which an image or a pixel is called anomalous.

    References:
        Vovk, 2015, "Cross-conformal predictors". https://doi.org/10.1007/s10472-013-9368-4
    """

    encoder: Encoder
    roi: Tensor
    threshold_: Tensor

    def __init__(self, encoder: Encoder, config: Any) -> None:
        super().__init__()
        keep_freed_memory()
        self.encoder = encoder.eval().requires_grad_(False)
        self.config = config
        self.held_out_: HeldOut | None = None
        self.register_buffer("roi", torch.zeros(0, 0, dtype=torch.uint8))
        self.register_buffer("threshold_", torch.tensor(torch.nan, dtype=torch.float64))

    def train(self, mode: bool = True) -> "StillDetector":  # noqa: ARG002, FBT001, FBT002
        """Stay in evaluation mode."""
        super().train(False)
        return self

    @property
    def threshold(self) -> float:
        """Image score from which an image is called anomalous."""
        self._check_fitted()
        return float(self.threshold_)

    @property
    def pixel_threshold(self) -> float:
        """Value of the anomaly map from which a pixel is called anomalous: the same."""
        return self.threshold

    def restrict(self, roi: Bool[Tensor, "H W"] | None) -> "StillDetector":
        """Look at a part of the images only: in ``fit``, in scores, thresholds and maps.

        Args:
            roi: True where to look, in the size of the images; None looks everywhere. Set it before
                ``fit``.

        Raises:
            InvalidInputError: If there is nowhere to look.
        """
        if roi is not None and not roi.any():
            raise InvalidInputError(
                "A region of interest must have at least one pixel, got an empty mask of "
                f"{roi.shape[0]} x {roi.shape[1]}. White is where to look."
            )
        mask = torch.zeros(0, 0) if roi is None else roi
        self.roi = mask.to(self.threshold_.device, torch.uint8)
        self.threshold_.fill_(torch.nan)
        return self

    @torch.no_grad()
    def fit(
        self,
        batches: Iterable[Float[Tensor, "_ C H W"]],
        calibration: Iterable[Float[Tensor, "_ C H W"]] | None = None,
        *,
        fabric: Fabric | None = None,
        progress: Progress = silent,
    ) -> "StillDetector":
        """Learn what is normal, forgetting any earlier fit.

        Args:
            batches: Normal images; iterated once, or twice if their features are too many to keep.
            calibration: Other normal images, which then alone set the threshold. Without them each
                training image does, scored by what the images of other groups taught.
            fabric: Device; the CPU if None.
            progress: Shows the passes over the data.

        Raises:
            TrainingError: If there are too few images, or their features are not finite.
            InvalidInputError: If the images do not fit the encoder, the region of interest, each
                other or the false-alarm rate.
        """
        self._begin(fabric)
        groups = self._groups(shown(batches, progress, "Features of normal images"))
        self._learn(groups)
        if calibration is None:
            return self._cross(groups)
        return self._calibrate(shown(calibration, progress, "Calibration"))

    @torch.no_grad()
    def recalibrate(
        self,
        calibration: Iterable[Float[Tensor, "_ C H W"]],
        *,
        fabric: Fabric | None = None,
        progress: Progress = silent,
    ) -> "StillDetector":
        """Set the threshold from normal images of another camera; what is normal stays as it is.

        Raises:
            NotFittedError: If called before ``fit``.
        """
        self._check_fitted()
        self.to((fabric or Fabric(accelerator="cpu", devices=1)).device)
        return self._calibrate(shown(calibration, progress, "Calibration"))

    @torch.no_grad()
    def forward(self, images: Float[Tensor, "B C H W"]) -> Scores:
        """Score a batch of images.

        Raises:
            NotFittedError: If called before ``fit``.
            InvalidInputError: If the images do not fit the encoder or the region of interest.
        """
        self._check_fitted()
        return self._score(images)

    @abstractmethod
    def statistics(self) -> Mapping[str, Tensor]:
        """What it decides by, by name, float64."""

    @abstractmethod
    def _learn(self, groups: Groups) -> None:
        """Learn all but the threshold; iterates over the groups once."""

    @abstractmethod
    def _distances(self, features: Float[Tensor, "n h w D"]) -> Float[Tensor, "n h w"]:
        """How far each place is from what is normal."""

    @abstractmethod
    def _distances_without(
        self, group: int, features: Float[Tensor, "n h w D"]
    ) -> Float[Tensor, "n h w"]:
        """The same for the images of a group, by what the other groups taught."""

    def _begin(self, fabric: Fabric | None) -> None:
        self.to((fabric or Fabric(accelerator="cpu", devices=1)).device)
        self.threshold_.fill_(torch.nan)  # a fit that fails leaves no half-fitted detector
        self.held_out_ = None

    def _groups(self, batches: Iterable[Tensor]) -> Groups:
        return Groups(batches, self._embed, NUM_GROUPS)

    def _embed(self, images: Float[Tensor, "B C H W"]) -> Float[Tensor, "B h w D"]:
        """Features of each place: of all layers at the stride of the finest."""
        self._check_roi(images.shape[-2:])
        features: Tensor = self.encoder(images.to(self.threshold_.device)).float()
        side = self.config.neighbourhood
        if side > 1:  # zeros beyond the edge count, as in the code of PatchCore's authors
            features = functional.avg_pool2d(features, side, stride=1, padding=side // 2)
        return features.permute(0, 2, 3, 1)

    def _score(self, images: Float[Tensor, "B C H W"]) -> Scores:
        return self._scores(self._distances(self._embed(images)), images.shape[-2:])

    def _scores(self, distances: Float[Tensor, "B h w"], size: torch.Size) -> Scores:
        """Smooth maps of distances, and their peaks."""
        sigma = self.config.smoothing * size[0] / distances.shape[1]
        rows, columns = (
            interpolation(cells, pixels, sigma).to(distances)
            for cells, pixels in zip(distances.shape[1:], size, strict=True)
        )
        if self.roi.numel():  # the mean over the places that are looked at, and no others
            looked = self.looked_at(*distances.shape[1:]).to(distances)
            known = (rows @ looked @ columns.mT).clamp(min=1e-6)
            anomaly_map = rows @ (distances * looked) @ columns.mT / known * self.roi
        else:
            anomaly_map = rows @ distances @ columns.mT
        return Scores(anomaly_map.amax(dim=(1, 2)), anomaly_map)

    def looked_at(self, rows: int, columns: int) -> Bool[Tensor, "h w"]:
        """Places of a grid of which at least a corner lies in the region of interest."""
        if not self.roi.numel():
            return torch.ones(rows, columns, dtype=torch.bool, device=self.roi.device)
        pooled = functional.adaptive_max_pool2d(self.roi[None].float(), (rows, columns))
        return pooled[0] > 0

    def _worst(
        self, distances: Float[Tensor, "h w"], region: Box, size: torch.Size
    ) -> tuple[int, int, Box]:
        """Row and column of the farthest place of a region, and the pixels around that place."""
        inside = torch.zeros_like(distances, dtype=torch.bool)
        (rows, height), (columns, width) = zip(distances.shape, size, strict=True)
        inside[
            region.top * rows // height : -(-region.bottom * rows // height),
            region.left * columns // width : -(-region.right * columns // width),
        ] = True
        if not inside.any():
            raise InvalidInputError(f"A region must have at least one pixel, got {region}.")
        best = int(distances.masked_fill(~inside, -torch.inf).argmax())
        row, column = divmod(best, columns)
        return row, column, Box(*self.encoder.receptive_field.box(row, column, *size))

    def _cross(self, groups: Groups) -> "StillDetector":
        """Set the threshold from training images, each scored without its group."""
        if groups.num_images < 2:
            raise TrainingError(
                f"A false-alarm rate of {self.config.false_alarm_rate} needs {self._needed()} "
                "normal images, got 1. Add normal images."
            )
        assert groups.size is not None
        distances = [
            self._distances_without(number, features) for number, features in enumerate(groups)
        ]
        self._set_threshold(self._scores_of_held_out(distances, groups.size))
        assert self.held_out_ is not None
        order = torch.cat(groups.numbers).argsort()
        self.held_out_ = HeldOut(*(values[order] for values in self.held_out_))
        return self

    def _scores_of_held_out(
        self, distances: list[Float[Tensor, "_ h w"]], size: torch.Size
    ) -> Iterable[Scores]:
        """Scores of the images that set the threshold, by parts, for a detector without them."""
        return (self._scores(each, size) for each in distances)

    def _calibrate(self, calibration: Iterable[Tensor]) -> "StillDetector":
        return self._set_threshold(self._score(images) for images in calibration)

    def _set_threshold(self, scores: Iterable[Scores]) -> "StillDetector":
        found, peaks = list[Tensor](), list[Tensor]()
        for each in scores:
            found.append(each.image_score.double().cpu())
            whole = each.anomaly_map
            peaks.append(found[-1] if whole is None else whole.amax(dim=(1, 2)).double().cpu())
        if not found:
            raise TrainingError(
                "The threshold needs calibration images, got none. Raise calibration_share, or "
                "add normal images."
            )
        joined, rate = torch.cat(found), self.config.false_alarm_rate
        if not joined.isfinite().all():
            raise TrainingError(
                "Scores of normal images must be finite, got NaN or infinity. Check the images for "
                "NaN and the encoder's weights."
            )
        if smallest_p_value(len(joined)) > rate:
            raise TrainingError(
                f"A false-alarm rate of {rate} needs {self._needed()} normal images that set the "
                f"threshold, got {len(joined)}, which can vouch for "
                f"{smallest_p_value(len(joined)):.3g} at best. Add normal images, or raise "
                "false_alarm_rate."
            )
        self.held_out_ = HeldOut(joined, torch.cat(peaks))
        # Scores are float32: their threshold must be one too, or rounding decides about ties.
        self.threshold_.fill_(threshold_at(rate, joined.cpu().numpy()))
        return self

    def _needed(self) -> int:
        rate: float = self.config.false_alarm_rate
        return math.ceil(round(1 / rate, 9)) - 1

    def _check_roi(self, size: torch.Size) -> None:
        if self.roi.numel() and self.roi.shape != size:
            raise InvalidInputError(
                f"The region of interest must have the size of the images, {size[0]} x {size[1]}, "
                f"got {self.roi.shape[0]} x {self.roi.shape[1]}. Draw it on one of the images."
            )

    def _check_fitted(self) -> None:
        if self.threshold_.isnan():
            raise NotFittedError(
                f"{type(self).__name__} is not fitted. Call fit(batches, calibration) first."
            )

    def _load_from_state_dict(self, state_dict: dict[str, Tensor], prefix: str, *rest: Any) -> None:
        """Make room for what was learned: its length depends on the images."""
        for name, own in self.named_buffers(recurse=False):
            stored = state_dict.get(prefix + name)
            if stored is not None and stored.shape != own.shape:
                setattr(self, name, own.new_empty(stored.shape))
        super()._load_from_state_dict(state_dict, prefix, *rest)


class PlacedDetector(StillDetector):
    """A detector whose image score says how unusual a distance is at its place.

    Maps are distances. The score of an image is the peak of their standard deviations above what
    normal images show at each place, so that edges, and what differs from image to image, raise no
    alarm. Configs have ``by_place``; without it, or with fewer than ``FEWEST`` images, the peak of
    the map is the score, as in the papers.

    Attributes:
        places_: Mean and standard deviation of normal images' distances at each place; empty with
            fewer than ``FEWEST`` images, or without ``by_place``. Shape (2, h, w), float32.
        pixel_threshold_: Value of the map from which a pixel is called anomalous.
    """

    places_: Tensor
    pixel_threshold_: Tensor

    def __init__(self, encoder: Encoder, config: Any) -> None:
        super().__init__(encoder, config)
        self.register_buffer("places_", torch.zeros(2, 0, 0))
        self.register_buffer("pixel_threshold_", torch.tensor(torch.nan, dtype=torch.float64))

    @property
    def pixel_threshold(self) -> float:
        """Value of the anomaly map from which a pixel is called anomalous."""
        self._check_fitted()
        return float(self.pixel_threshold_)

    def _scores(
        self, distances: Float[Tensor, "B h w"], size: torch.Size, spread: float = 1.0
    ) -> Scores:
        """Maps of distances, and the peaks of those of standard deviations.

        Args:
            distances: Of places.
            size: Of the images.
            spread: What differences from the mean are multiplied by.
        """
        found = super()._scores(distances, size)
        if not self.places_.numel():
            return found
        places = self.places_
        if places.shape[1:] != distances.shape[1:]:  # images of another size
            places = functional.interpolate(places[None], distances.shape[1:], mode="bilinear")[0]
        apart = super()._scores(spread * (distances - places[0]) / places[1], size)
        return Scores(apart.image_score, found.anomaly_map)

    def _scores_of_held_out(
        self, distances: list[Float[Tensor, "_ h w"]], size: torch.Size
    ) -> Iterable[Scores]:
        """Scores of images by what is usual in the other ones.

        The mean without an image differs from the image by n / (n - 1) times as much as that with
        it, which is as far as a new image differs from the mean of n.
        """
        every = torch.cat(distances)
        num = len(every)
        self.places_ = self.places_.new_zeros(2, 0, 0)
        if self.config.by_place and num >= FEWEST:
            variance = every.var(dim=0)
            usual = variance[self.looked_at(*every.shape[1:])].mean()
            drawn = (num * variance + PRIOR * usual) / (num + PRIOR)
            least = torch.finfo(drawn.dtype).tiny
            self.places_ = torch.stack([every.mean(dim=0), drawn.clamp(min=least).sqrt()])
        return (self._scores(each, size, num / max(num - 1, 1)) for each in distances)

    def _calibrate(self, calibration: Iterable[Tensor]) -> "PlacedDetector":
        distances, size = list[Tensor](), torch.Size(())
        for images in calibration:
            if distances and size != images.shape[-2:]:
                raise InvalidInputError(
                    f"All images must have one size, got {tuple(images.shape[-2:])} after "
                    f"{tuple(size)}. Set image_size in the recipe."
                )
            distances.append(self._distances(self._embed(images)))
            size = images.shape[-2:]
        self._set_threshold(self._scores_of_held_out(distances, size) if distances else [])
        return self

    def _set_threshold(self, scores: Iterable[Scores]) -> "PlacedDetector":
        super()._set_threshold(scores)
        assert self.held_out_ is not None
        peaks = self.held_out_.peak.numpy()
        self.pixel_threshold_.fill_(threshold_at(self.config.false_alarm_rate, peaks))
        return self

    def _load_from_state_dict(self, state_dict: dict[str, Tensor], prefix: str, *rest: Any) -> None:
        """Detectors of before, whose scores were the peaks of their maps, stay as they were."""
        if (threshold := state_dict.get(f"{prefix}threshold_")) is not None:
            state_dict.setdefault(f"{prefix}pixel_threshold_", threshold)
            state_dict.setdefault(f"{prefix}places_", self.places_.new_zeros(2, 0, 0))
        super()._load_from_state_dict(state_dict, prefix, *rest)


def layer_names(encoder: Encoder) -> tuple[tuple[str, int], ...]:
    """Layers that an encoder's features are from, in order, and the number of each one's."""
    if isinstance(encoder, Layered):
        return tuple(zip(encoder.layer_names, encoder.layer_dims, strict=True))
    return ((type(encoder).__name__, encoder.embedding_dim),)


def check_still(config: Any) -> None:
    """Raise unless the settings that all detectors of stills share are in their ranges.

    Raises:
        InvalidInputError: Otherwise.
    """
    check_rate(config.false_alarm_rate)
    side, smoothing = getattr(config, "neighbourhood", 1), getattr(config, "smoothing", 0.0)
    if side < 1 or side % 2 == 0 or smoothing < 0:
        raise InvalidInputError(
            f"neighbourhood must be odd and smoothing >= 0, got {side} and {smoothing}."
        )
