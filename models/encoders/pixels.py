"""No encoder at all: the pixels themselves, for models that learn from images end to end.

Shapes: B = batch, C = channels, H W = image.
"""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from models.contracts import Encoder
from models.errors import InvalidInputError
from models.functional.receptive_field import receptive_field


class Pixels(Encoder):
    """Hands on each pixel as its own feature vector; learns nothing.

    Args:
        config: Hyper-parameters.
    """

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """Hyper-parameters of the encoder."""

        channels: int = 1
        """Channels of the images, >= 1: 1 for gray, 3 for colour, 6 for clips."""

        def __post_init__(self) -> None:
            if self.channels < 1:
                raise InvalidInputError(f"channels must be >= 1, got {self.channels}.")

        def build(self) -> "Pixels":
            """Return the encoder."""
            return Pixels(self)

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        self.embedding_dim = config.channels
        self.receptive_field = receptive_field([])

    def forward(self, images: Float[Tensor, "B C H W"]) -> Float[Tensor, "B C H W"]:
        """Return the images.

        Raises:
            InvalidInputError: If they have another number of channels.
        """
        if images.shape[1] != self.embedding_dim:
            raise InvalidInputError(
                f"Images must have {self.embedding_dim} channels, got {images.shape[1]}. Set "
                "channels of Pixels.Config in the recipe."
            )
        return images
