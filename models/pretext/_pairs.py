"""Pairs of patches that show the same thing: of tracks as they come, of plain images made here.

Shapes: B = pairs, C = channels, H W = image, 2 = first and last patch, S T = rows and columns of a
patch after its crop.
"""

import torch
from jaxtyping import Float
from torch import Generator, Tensor

from models.contracts import WINDOW
from models.functional.holes import crops

CANDIDATES = 4
"""Places drawn for the patch of an untracked clip, of which the one with most movement is taken."""
TRACKED = 5
"""Dimensions of a batch of tracked pairs; plain images have one less."""


class Pairs:
    """Makes pairs of batches, at random to train on and without chance to judge by.

    Args:
        patch: Side of the square that a plain image gives, in pixels.
        jitter: Part of a patch's side by which its crops are shifted at most.
        light: Most change of contrast and brightness of a patch, relative.
        seed: Of everything that is drawn.
    """

    def __init__(self, patch: int, *, jitter: float, light: float, seed: int) -> None:
        self._patch, self._jitter, self._light = patch, jitter, light
        self._draw = Generator().manual_seed(seed)

    def drawn(
        self, batch: Float[Tensor, "B C H W"] | Float[Tensor, "B 2 C H W"]
    ) -> Float[Tensor, "B 2 C S T"]:
        """Shift and light each patch by itself; mirror both of a pair, or none."""
        pairs = batch if batch.ndim == TRACKED else self._at_one_place(batch)
        patches = crops(pairs.flatten(0, 1), self._side(pairs), 1, self._draw)
        draws = torch.rand(2, len(patches), 1, 1, 1, generator=self._draw).to(patches)
        contrast, brightness = self._light * (2 * draws - 1)
        lit = ((patches - 0.5) * (1 + contrast) + 0.5 + brightness / 2).clamp(0, 1)
        pairs = lit.unflatten(0, (-1, 2))
        mirrored = torch.rand(len(pairs), 1, 1, 1, 1, generator=self._draw).to(pairs) < 0.5
        return torch.where(mirrored, pairs.flip(-1), pairs)

    def held_out(
        self, batch: Float[Tensor, "B C H W"] | Float[Tensor, "B 2 C H W"]
    ) -> Float[Tensor, "B 2 C S T"]:
        """The middle of tracked patches; opposite corners of the middle of plain images."""
        if batch.ndim == TRACKED:
            return _square(batch, self._side(batch), 0.5)
        patches = _square(batch, self._patch, 0.5)
        early, late = _early_and_late(patches)
        side = self._side(patches)
        return torch.stack([_square(early, side, 0.0), _square(late, side, 1.0)], dim=1)

    def _at_one_place(self, images: Tensor) -> Tensor:
        patches = crops(images, self._patch, CANDIDATES, self._draw)
        return torch.stack(_early_and_late(patches), dim=1)

    def _side(self, patches: Tensor) -> int:
        shorter = min(patches.shape[-2:])
        return max(shorter - round(self._jitter * shorter), 1)


def _early_and_late(patches: Tensor) -> tuple[Tensor, Tensor]:
    """The first and last three frames of a window, each frame twice; a still image twice."""
    if patches.shape[1] != WINDOW:
        return patches, patches
    half = WINDOW // 2
    return patches[:, :half].repeat_interleave(2, 1), patches[:, half:].repeat_interleave(2, 1)


def _square(images: Tensor, side: int, place: float) -> Tensor:
    """A square of at most ``side``, ``place`` of the way from the upper left to the lower right."""
    rows, columns = min(side, images.shape[-2]), min(side, images.shape[-1])
    top = int(place * (images.shape[-2] - rows))
    left = int(place * (images.shape[-1] - columns))
    return images[..., top : top + rows, left : left + columns]
