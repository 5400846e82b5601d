"""Masked convolution: every output sees only what comes before it in raster order.

Shapes: B = batch, I O = input and output channels, H W = image, k = kernel.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional


def causal_mask(
    inputs: int, outputs: int, kernel: int, *, num_groups: int, see_itself: bool
) -> Float[Tensor, "O I k k"]:
    """Weights that a causal convolution may have: 1, or 0 for what comes later.

    The order is by rows, then columns, then groups of channels (the colours of a pixel).

    Args:
        inputs: Channels I, a multiple of ``num_groups``.
        outputs: Channels O, a multiple of ``num_groups``.
        kernel: Rows and columns, odd.
        num_groups: Colours of a pixel; each owns as many channels as the others.
        see_itself: Whether a group sees itself at its own pixel: False in the first layer (the
            paper's mask A), True in later ones (mask B).

    References:
        van den Oord et al., 2016, "Pixel Recurrent Neural Networks", section 3.4.
        https://arxiv.org/abs/1601.06759
    """
    if inputs % num_groups or outputs % num_groups or kernel % 2 == 0:
        raise ValueError(
            f"Channels must be multiples of num_groups {num_groups} and kernel odd, got {inputs}, "
            f"{outputs} and {kernel}."
        )
    mask = torch.zeros(outputs, inputs, kernel, kernel)
    middle = kernel // 2
    mask[:, :, :middle] = 1
    mask[:, :, middle, :middle] = 1
    source = torch.arange(inputs) // (inputs // num_groups)
    target = (torch.arange(outputs) // (outputs // num_groups))[:, None]
    mask[:, :, middle, middle] = (source <= target if see_itself else source < target).float()
    return mask


class MaskedConv2d(nn.Module):
    """Convolution whose outputs depend only on earlier inputs; the size of the image stays.

    Args:
        inputs: Channels I.
        outputs: Channels O.
        kernel: Rows and columns, odd.
        num_groups: Colours of a pixel.
        see_itself: Whether a colour sees itself; never in the first layer.
    """

    mask: Tensor

    def __init__(
        self, inputs: int, outputs: int, kernel: int, *, num_groups: int, see_itself: bool
    ) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2)
        mask = causal_mask(inputs, outputs, kernel, num_groups=num_groups, see_itself=see_itself)
        self.register_buffer("mask", mask, persistent=False)

    def forward(self, images: Float[Tensor, "B I H W"]) -> Float[Tensor, "B O H W"]:
        """Convolve with the weights that the mask leaves."""
        layer = self.convolution
        return functional.conv2d(
            images, layer.weight * self.mask, layer.bias, padding=layer.padding
        )


class ShiftedConv2d(nn.Module):
    """Convolution over a rectangle beside each pixel; the size of the image stays.

    A rectangle above a pixel, or before it in its row, is what a causal mask leaves of a larger
    kernel, at less than half of the cost.

    Args:
        inputs: Channels I.
        outputs: Channels O.
        kernel: Rows and columns of the rectangle.
        top: How many rows above the pixel the rectangle begins.
        left: How many columns before the pixel the rectangle begins.
        dilation: Step from one of its rows, or columns, to the next, in pixels.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: tuple[int, int],
        *,
        top: int,
        left: int,
        dilation: int = 1,
    ) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(inputs, outputs, kernel, dilation=dilation)
        below, aside = ((side - 1) * dilation for side in kernel)
        self._margins = left, aside - left, top, below - top

    def forward(self, images: Float[Tensor, "B I H W"]) -> Float[Tensor, "B O H W"]:
        """Convolve; what lies outside the image counts as 0."""
        convolved: Tensor = self.convolution(functional.pad(images, self._margins))
        return convolved
