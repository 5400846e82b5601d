"""Seed patches: squares drawn from a stream of images, where there is something to see.

Shapes: B = batch, C = channels, H W = image, P Q = rows and columns of places, N = patches kept,
S = side of a patch.
"""

import torch
from jaxtyping import Float
from torch import Generator, Tensor
from torch.nn import functional

from models.errors import TrainingError
from models.functional.holes import movement

FAINT = 1e-3
"""Interest below which a square shows nothing."""
MOVEMENT_GAIN = 10.0
"""Weight of movement beside contrast."""


def interest(images: Float[Tensor, "B C H W"], side: int, step: int) -> Float[Tensor, "B P Q"]:
    """How much there is to see in each square: its contrast, and how much moves in it.

    The standard deviation of gray levels plus ``MOVEMENT_GAIN`` times the mean change from the
    oldest to the newest frame.

    Args:
        images: Still images or clips.
        side: Rows and columns of a square.
        step: Pixels from one square to the next.
    """
    gray = images.double().mean(dim=1, keepdim=True)
    gray = gray - gray.mean(dim=(2, 3), keepdim=True)
    mean = functional.avg_pool2d(gray, side, step)
    variance = functional.avg_pool2d(gray.square(), side, step) - mean.square()
    moving = functional.avg_pool2d(movement(images)[:, None].double(), side, step)
    return (variance.clamp(min=0).sqrt() + MOVEMENT_GAIN * moving)[:, 0].float()


class SeedPatches:
    """Keep squares of a stream of images, each with a chance that grows with its interest.

    Which ones are kept depends on the order of the images and on the seed, not on how the stream is
    cut into batches.

    Args:
        capacity: Most patches to keep.
        side: Rows and columns S of a patch.
        step: Pixels from one place in an image to the next.
        seed: Of the choice.

    References:
        Efraimidis and Spirakis, 2006, "Weighted random sampling with a reservoir", algorithm A-Res.
        https://doi.org/10.1016/j.ipl.2005.11.003
    """

    def __init__(self, capacity: int, side: int, step: int, seed: int = 0) -> None:
        self.capacity, self.side, self.step = capacity, side, step
        self._draw = Generator().manual_seed(seed)
        self._keys = torch.empty(0, dtype=torch.float64)
        self._kept: Tensor | None = None

    def update(self, images: Float[Tensor, "B C H W"]) -> None:
        """Take in more images.

        Raises:
            TrainingError: If one is not finite.
        """
        if not images.isfinite().all():
            raise TrainingError(
                "Images must be finite, got NaN or infinity. Check the training images."
            )
        weights = interest(images, self.side, self.step).double().cpu()
        draws = torch.rand(weights.shape, dtype=torch.float64, generator=self._draw)
        keys = torch.where(weights < FAINT, -torch.inf, draws.log() / weights)
        best = keys.flatten().argsort(descending=True, stable=True)[: self.capacity]
        best = best[keys.flatten()[best].isfinite()]
        if len(self._keys) == self.capacity:
            best = best[keys.flatten()[best] > self._keys[-1]]
        which, row, column = torch.unravel_index(best, keys.shape)
        offered = _cut(images.cpu(), which, row * self.step, column * self.step, self.side)
        kept = offered if self._kept is None else torch.cat([self._kept, offered])
        keys = torch.cat([self._keys, keys.flatten()[best]])
        order = keys.argsort(descending=True, stable=True)[: self.capacity]
        self._keys, self._kept = keys[order], kept[order]

    def patches(self) -> Float[Tensor, "N C S S"]:
        """What was kept.

        Raises:
            ValueError: If there were no images.
        """
        if self._kept is None:
            raise ValueError("Seed patches need images, got none.")
        return self._kept


def best_patches(
    images: Float[Tensor, "B C H W"], side: int, step: int
) -> Float[Tensor, "B C S S"]:
    """The square of each image in which there is most to see; arguments as for ``interest``."""
    found = interest(images, side, step)
    row, column = torch.unravel_index(found.flatten(1).argmax(dim=1), found.shape[1:])
    return _cut(
        images, torch.arange(len(images), device=row.device), row * step, column * step, side
    )


def _cut(images: Tensor, which: Tensor, top: Tensor, left: Tensor, side: int) -> Tensor:
    reach = torch.arange(side, device=top.device)
    rows, columns = top[:, None] + reach, left[:, None] + reach
    cut = images[which[:, None, None], :, rows[:, :, None], columns[:, None, :]]
    return cut.permute(0, 3, 1, 2).contiguous()
