"""Puzzles: nine tiles of an image, and the orders in which they are shown.

Shapes: B = batch, C = channels, H W = image, N = 9 tiles, T = side of a tile, P = puzzles made of
one image's tiles.
"""

import torch
from jaxtyping import Float, Int
from torch import Generator, Tensor

from models.errors import InvalidInputError
from models.functional.tiles import GRID, cut_tiles, enlarged

NUM_TILES = GRID**2


class Puzzles:
    """Cut tiles at random places and draw orders for them.

    The gap between two tiles is random too, so that neighbours cannot be found by continued lines.
    What is drawn depends on the order of the images, not on how they are cut into batches.

    Args:
        crop: Side of the square that is cut into nine cells, in pixels. In a smaller image square,
            cells and tiles shrink alike, and the tiles are enlarged afterwards.
        tile: Side of a tile, which lies anywhere within its cell.
        colour_shift: Pixels by which each colour of a tile may lie off, so that chromatic
            aberration does not tell its place.
        gray_share: Share of colour images whose tiles are gray.
        seed: Of all that is drawn.
    """

    def __init__(
        self, crop: int, tile: int, *, colour_shift: int = 0, gray_share: float = 0.0, seed: int = 0
    ) -> None:
        self._cell, self._tile = crop // GRID, tile
        self._shift, self._gray = colour_shift, gray_share
        self._places = Generator().manual_seed(seed)
        self._orders = Generator().manual_seed(seed + 1)

    def tiles(self, images: Float[Tensor, "B C H W"]) -> Float[Tensor, "B N C T T"]:
        """Nine tiles of a random square of each image.

        Raises:
            InvalidInputError: If images are too small to have nine tiles.
        """
        if min(images.shape[-2:]) < NUM_TILES:
            raise InvalidInputError(
                f"A jigsaw puzzle needs images of at least {NUM_TILES} x {NUM_TILES} pixels, got "
                f"{images.shape[-2]} x {images.shape[-1]}. Set image_size in the recipe."
            )
        cell = min(self._cell, min(images.shape[-2:]) // GRID)
        side = max(self._tile * cell // self._cell, 1)
        slack = torch.tensor(images.shape[-2:]) - GRID * cell + 1
        uniform = torch.rand(len(images), 1 + NUM_TILES, 2, generator=self._places)
        squares = (uniform[:, :1] * slack).long()
        jitter = (uniform[:, 1:] * (cell - side + 1)).long()
        grid = torch.cartesian_prod(torch.arange(GRID), torch.arange(GRID)) * cell
        corners = (squares + grid + jitter)[:, :, None].expand(-1, -1, images.shape[1], -1)
        if images.shape[1] == 3:
            images, corners = self._discoloured(images, corners, side)
        tiles = cut_tiles(images, corners[..., 0], corners[..., 1], side)
        return enlarged(tiles, self._tile)

    def labels(self, num: int, num_puzzles: int, num_classes: int) -> Int[Tensor, "B P"]:
        """Numbers of the permutations to apply to the tiles of ``num`` images."""
        return torch.randint(num_classes, (num, num_puzzles), generator=self._orders)

    def _discoloured(self, images: Tensor, corners: Tensor, side: int) -> tuple[Tensor, Tensor]:
        if self._gray:
            gray = torch.rand(len(images), generator=self._places) < self._gray
            mean = images.mean(dim=1, keepdim=True).expand_as(images)
            images = torch.where(gray.to(images.device)[:, None, None, None], mean, images)
        if self._shift:
            size = (2 * self._shift + 1,)
            shift = torch.randint(*size, corners.shape, generator=self._places) - self._shift
            most = torch.tensor(images.shape[-2:]) - side
            corners = (corners + shift).clamp(min=0).minimum(most)
        return images, corners
