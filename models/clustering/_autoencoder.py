"""The convolutional autoencoder whose bottleneck is clustered.

Shapes: B = batch, C = channels, S = side of the square images, D = embedding width.
"""

import torch
from jaxtyping import Float
from torch import Generator, Tensor, nn

WIDTHS = (32, 64, 128)
"""Filters of the three convolutions."""


class Autoencoder(nn.Module):
    """Three convolutions of stride 2, a linear embedding, and the same way back.

    The last convolution pads only if its input has an even side, so that the way back meets every
    size again: 28, 14, 7, 3 without padding, 16, 8, 4, 2 with it.

    Args:
        channels: Of the images.
        side: Rows and columns of the images, a multiple of 4 and at least 8.
        embedding_dim: Width of the bottleneck.

    References:
        Guo, Liu, Zhu and Yin, 2017, "Deep Clustering with Convolutional Autoencoders", section 3.1.
    """

    def __init__(self, channels: int, side: int, embedding_dim: int) -> None:
        super().__init__()
        first, second, third = WIDTHS
        padding = int(side % 8 == 0)
        smallest = side // 8
        flat = third * smallest**2
        self.encoder = nn.Sequential(
            nn.Conv2d(channels, first, 5, stride=2, padding=2),
            nn.ReLU(),
            nn.Conv2d(first, second, 5, stride=2, padding=2),
            nn.ReLU(),
            nn.Conv2d(second, third, 3, stride=2, padding=padding),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(flat, embedding_dim),
        )
        self.decoder = nn.Sequential(
            nn.Linear(embedding_dim, flat),
            nn.ReLU(),
            nn.Unflatten(1, (third, smallest, smallest)),
            nn.ConvTranspose2d(third, second, 3, 2, padding, output_padding=padding),
            nn.ReLU(),
            nn.ConvTranspose2d(second, first, 5, 2, padding=2, output_padding=1),
            nn.ReLU(),
            nn.ConvTranspose2d(first, channels, 5, 2, padding=2, output_padding=1),
        )

    def reset(self, seed: int) -> None:
        """Draw first weights: uniform as Glorot and Bengio (2010) have them, biases 0."""
        draw = Generator().manual_seed(seed)
        with torch.no_grad():
            for name, parameter in self.named_parameters():
                values = torch.zeros(parameter.shape)
                if name.endswith("weight"):
                    nn.init.xavier_uniform_(values, generator=draw)
                parameter.copy_(values)

    def forward(
        self, images: Float[Tensor, "B C S S"], *, reconstruct: bool = True
    ) -> tuple[Float[Tensor, "B D"], Float[Tensor, "B C S S"] | None]:
        """Embedding of images, and the images made of it again; None unless wanted."""
        embedding = self.encoder(images)
        return embedding, self.decoder(embedding) if reconstruct else None
