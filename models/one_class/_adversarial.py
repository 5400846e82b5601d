"""The two networks of ALOCC: one refines patches, the other tells true patches from refined ones.

Shapes: B = batch, C = channels, P = side of a patch.
"""

from jaxtyping import Float
from torch import Tensor, nn

KERNEL, SLOPE, EPSILON = 5, 0.2, 1e-6
"""Side of every kernel, slope of the rectifiers below 0, and what batch norm adds to variances."""


def sides(patch: int, depth: int) -> list[int]:
    """Side of the patch, and of the feature map after each of ``depth`` layers of stride 2.

    Example:
        >>> sides(28, 3)
        [28, 14, 7, 4]
    """
    found = [patch]
    for _ in range(depth):
        found.append((found[-1] + 1) // 2)
    return found


class Refiner(nn.Module):
    """R: a denoising convolutional encoder-decoder, which knows only normal patches.

    Args:
        channels: Of the images.
        width: Channels of the first layer; each further one has twice as many.
        patch: Side of a patch, in pixels.
        depth: Layers of the encoder, and of the decoder.
    """

    def __init__(self, channels: int, width: int, patch: int, depth: int) -> None:
        super().__init__()
        self.sides = sides(patch, depth)
        widths = [channels, *(width << level for level in range(depth))]
        self.encoder = nn.Sequential(
            *(_down(widths[level], widths[level + 1]) for level in range(depth))
        )
        self.rise = nn.ModuleList(
            nn.ConvTranspose2d(widths[level + 1], widths[level], KERNEL, stride=2, padding=2)
            for level in reversed(range(depth))
        )
        self.norms = nn.ModuleList(
            nn.BatchNorm2d(widths[level], eps=EPSILON) for level in reversed(range(1, depth))
        )
        _initialise(self)

    def forward(self, patches: Float[Tensor, "B C P P"]) -> Float[Tensor, "B C P P"]:
        """Return refined patches, with values in (0, 1)."""
        hidden: Tensor = self.encoder(patches)
        for level, rise in enumerate(self.rise):
            side = self.sides[-2 - level]
            hidden = rise(hidden, output_size=[side, side])
            if level < len(self.norms):
                hidden = self.norms[level](hidden).relu()
        return hidden.sigmoid()


class Discriminator(nn.Module):
    """D: how much a patch looks like a true normal one, as a logit.

    Args:
        channels: Of the images.
        width: Channels of the first layer; each further one has twice as many.
        patch: Side of a patch, in pixels.
        depth: Layers before the last, which is fully connected.
    """

    def __init__(self, channels: int, width: int, patch: int, depth: int) -> None:
        super().__init__()
        widths = [channels, *(width << level for level in range(depth))]
        self.layers = nn.Sequential(
            _down(widths[0], widths[1], normalised=False),
            *(_down(widths[level], widths[level + 1]) for level in range(1, depth)),
            nn.Flatten(),
            nn.Linear(widths[-1] * sides(patch, depth)[-1] ** 2, 1),
        )
        _initialise(self)

    def forward(self, patches: Float[Tensor, "B C P P"]) -> Float[Tensor, "B"]:
        """Return logits, > 0 for what looks true and normal."""
        logits: Tensor = self.layers(patches)
        return logits[:, 0]


def _down(before: int, after: int, *, normalised: bool = True) -> nn.Sequential:
    convolution = nn.Conv2d(before, after, KERNEL, stride=2, padding=2)
    norm = [nn.BatchNorm2d(after, eps=EPSILON)] if normalised else []
    return nn.Sequential(convolution, *norm, nn.LeakyReLU(SLOPE))


def _initialise(network: nn.Module) -> None:
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            nn.init.normal_(layer.weight, std=0.02)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
