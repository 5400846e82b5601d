"""Distribution of a block of pixels: from the features of what precedes it, and pixel by pixel.

Shapes: B = batch, D = features, h w = feature map, b = side of the block, K = gray levels,
G = channels of the decoder, r = its first rows, 3 = mean frames or colours.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from models.functional.masked_convolution import MaskedConv2d
from models.functional.receptive_field import ReceptiveField, centre


class BlockModel(nn.Module):
    """p(block | context) as a product over pixels and colours, each given all before it.

    Dilated convolutions carry the features of the context into the block, where masked
    convolutions add what is known of the block itself. These see nothing outside it: all that
    comes from there comes through the features.

    Args:
        embedding_dim: Features D.
        width: Channels in between, >= 4.
        num_levels: Gray levels K of a pixel.
        field: Receptive field of the features, which says where each one lies in the window.
    """

    def __init__(
        self, embedding_dim: int, width: int, num_levels: int, field: ReceptiveField
    ) -> None:
        super().__init__()
        self.num_levels, self.field = num_levels, field
        channels = 3 * max(width // 4, 1)
        self.local = nn.Sequential(nn.Conv2d(embedding_dim, width, kernel_size=1), nn.ReLU())
        for dilation in (1, 2, 4):
            self.local.append(
                nn.Conv2d(width, width, kernel_size=3, padding=dilation, dilation=dilation)
            )
            self.local.append(nn.ReLU())
        self.enlarge = nn.Sequential(
            nn.Conv2d(width, channels * field.stride**2, kernel_size=1),
            nn.PixelShuffle(field.stride),
        )
        self.overall = nn.Linear(embedding_dim, channels)
        self.first = MaskedConv2d(3, channels, 5, num_groups=3, see_itself=False)
        self.later = nn.ModuleList(
            MaskedConv2d(channels, channels, 3, num_groups=3, see_itself=True) for _ in range(2)
        )
        self.last = MaskedConv2d(channels, 3 * num_levels, 1, num_groups=3, see_itself=True)

    def hint(
        self, feature_map: Float[Tensor, "B D h w"], side: int, block: int
    ) -> Float[Tensor, "B G b b"]:
        """What the features say about each pixel of the block in the lower right corner.

        Args:
            feature_map: Features of a window whose block is hidden.
            side: Of the window, in pixels.
            block: Side b of the block, in pixels.
        """
        stride, local = self.field.stride, self.local(feature_map)
        first = round(centre(self.field) - (stride - 1) / 2)
        cells = max((side - block - first) // stride, 0)  # before the block, of no use here
        local = self.enlarge(local[:, :, cells:, cells:])
        before = first + cells * stride - (side - block)
        after = block - before - local.shape[2]
        local = functional.pad(local, (before, after, before, after))
        overall = self.overall(feature_map.mean(dim=(2, 3)))[:, :, None, None]
        hinted: Tensor = local + overall
        return hinted

    def forward(
        self, hint: Float[Tensor, "B G r b"], levels: Int[Tensor, "B 3 r b"]
    ) -> Float[Tensor, "B K 3 r b"]:
        """Logits of each pixel's level, given the levels before it; any number of first rows."""
        known = 2 * levels.to(hint.dtype) / (self.num_levels - 1) - 1
        hidden = self.first(known) + hint
        for layer in self.later:
            hidden = hidden + layer(torch.relu(hidden))
        logits: Tensor = self.last(torch.relu(hidden))
        num, _, height, width = logits.shape
        return logits.reshape(num, 3, self.num_levels, height, width).transpose(1, 2)
