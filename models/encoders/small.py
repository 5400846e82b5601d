"""A small convolutional trunk for small images: digits, thumbnails, tiles of a puzzle.

Shapes: B = batch, C = channels, H W = image, D = embedding width, h w = feature map (stride 4).
"""

from dataclasses import dataclass
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor, nn

from models.contracts import Encoder
from models.errors import InvalidInputError
from models.functional.mean_frames import mean_frames
from models.functional.receptive_field import Layer, receptive_field

SMALLEST = 8


class SmallTrunk(Encoder):
    """Three convolutions with batch normalisation and ReLU, and max pooling after the first two.

    Args:
        config: Hyper-parameters.
    """

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """Hyper-parameters of the trunk."""

        width: int = 32
        """Channels of the first layer, >= 1; the second has twice, the third four times as many."""

        def __post_init__(self) -> None:
            if self.width < 1:
                raise InvalidInputError(f"width must be >= 1, got {self.width}.")

        def build(self) -> "SmallTrunk":
            """Return a trunk with random weights."""
            return SmallTrunk(self)

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        widths = (3, config.width, 2 * config.width, 4 * config.width)
        self.embedding_dim = widths[-1]
        self.receptive_field = receptive_field(
            [Layer(3, 1, 1), Layer(2, 2), Layer(3, 1, 1), Layer(2, 2), Layer(3, 1, 1)]
        )
        blocks: list[nn.Module] = []
        for place, (before, after) in enumerate(pairwise(widths)):
            if place:
                blocks.append(nn.MaxPool2d(2))
            blocks += [
                nn.Conv2d(before, after, kernel_size=3, padding=1, bias=False),
                nn.BatchNorm2d(after),
                nn.ReLU(inplace=True),
            ]
        self.features = nn.Sequential(*blocks)
        for layer in self.features:
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")

    def forward(self, images: Float[Tensor, "B C H W"]) -> Float[Tensor, "B D h w"]:
        """Return one feature vector for each of the h x w receptive fields.

        Raises:
            InvalidInputError: If the images are too small, or C is not 1, 3 or 6.
        """
        if min(images.shape[-2:]) < SMALLEST:
            raise InvalidInputError(
                f"The small trunk needs images of at least {SMALLEST} x {SMALLEST} pixels, got "
                f"{images.shape[-2]} x {images.shape[-1]}. Set image_size in the recipe."
            )
        feature_map: Tensor = self.features(2 * mean_frames(images) - 1)
        return feature_map


def pooled(feature_map: Float[Tensor, "B D h w"]) -> Float[Tensor, "B D"]:
    """One embedding for each image: the mean of its feature map."""
    return torch.mean(feature_map, dim=(2, 3))
