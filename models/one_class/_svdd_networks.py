"""Networks of Deep SVDD: an encoder without any bias, and the decoder that pretrains it.

Shapes: B = batch, C = channels, S = side of the images, D = embedding.
"""

from jaxtyping import Float
from torch import Tensor, nn

EPSILON = 1e-4
"""What batch norm adds to variances."""


class SVDDEncoder(nn.Module):
    """Two convolutions with pooling and a linear layer; no bias and no learned shift anywhere.

    With a bias it could map every image to one point, the trivial solution.

    Args:
        channels: Of the images.
        side: Of the images, in pixels, a multiple of 4.
        dim: Width D of the embedding.
    """

    def __init__(self, channels: int, side: int, dim: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(channels, 8, 5, padding=2, bias=False),
            nn.BatchNorm2d(8, eps=EPSILON, affine=False),
            nn.LeakyReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(8, 4, 5, padding=2, bias=False),
            nn.BatchNorm2d(4, eps=EPSILON, affine=False),
            nn.LeakyReLU(),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Linear(4 * (side // 4) ** 2, dim, bias=False),
        )

    def forward(self, images: Float[Tensor, "B C S S"]) -> Float[Tensor, "B D"]:
        """Return embeddings."""
        embeddings: Tensor = self.layers(images)
        return embeddings


class Autoencoder(nn.Module):
    """The encoder with a mirrored decoder, which is thrown away after pretraining.

    Args:
        encoder: To be pretrained.
        channels: Of the images.
        side: Of the images, in pixels, a multiple of 4.
        dim: Width D of the embedding.
    """

    def __init__(self, encoder: SVDDEncoder, channels: int, side: int, dim: int) -> None:
        super().__init__()
        self.encoder = encoder
        self.decoder = nn.Sequential(
            nn.Linear(dim, 4 * (side // 4) ** 2, bias=False),
            nn.Unflatten(1, (4, side // 4, side // 4)),
            nn.LeakyReLU(),
            nn.Upsample(scale_factor=2),
            nn.Conv2d(4, 8, 5, padding=2, bias=False),
            nn.BatchNorm2d(8, eps=EPSILON, affine=False),
            nn.LeakyReLU(),
            nn.Upsample(scale_factor=2),
            nn.Conv2d(8, channels, 5, padding=2, bias=False),
            nn.Sigmoid(),
        )

    def forward(self, images: Float[Tensor, "B C S S"]) -> Float[Tensor, "B C S S"]:
        """Return reconstructions, with values in (0, 1)."""
        restored: Tensor = self.decoder(self.encoder(images))
        return restored
