"""Decoder of the context encoder: paints an image from a feature map, and is then thrown away.

Shapes: B = batch, D = features, h w = feature map, H W = image.
"""

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from models.functional.receptive_field import ReceptiveField, centre


class Decoder(nn.Module):
    """Carry context into the hole by dilated convolutions, then up to pixels by a pixel shuffle.

    Args:
        embedding_dim: Features D.
        width: Channels in between.
        field: Receptive field of the features, which says where each one lies in the image.
    """

    def __init__(self, embedding_dim: int, width: int, field: ReceptiveField) -> None:
        super().__init__()
        self.field = field
        self.context = nn.Sequential(
            nn.Conv2d(embedding_dim, width, kernel_size=1),
            nn.ReLU(),
            nn.Conv2d(width, width, kernel_size=3, padding=1),
            nn.ReLU(),
            nn.Conv2d(width, width, kernel_size=3, padding=2, dilation=2),
            nn.ReLU(),
            nn.Conv2d(width, 3 * field.stride**2, kernel_size=3, padding=1),
            nn.PixelShuffle(field.stride),
        )

    def forward(
        self, feature_map: Float[Tensor, "B D h w"], height: int, width: int
    ) -> Float[Tensor, "B 3 H W"]:
        """Return images of the given size; cell 0's square lies around its field's centre."""
        painted = self.context(feature_map)
        first = round(centre(self.field) - (self.field.stride - 1) / 2)
        right = width - first - painted.shape[3]
        bottom = height - first - painted.shape[2]
        shifted: Tensor = functional.pad(painted, (first, right, first, bottom))
        return shifted
