"""Images to codes and back, and the probability of a code, element by element.

Shapes: B = batch, C = channels, H W = image, T = elements of a code, K = bins of an element,
I O = input and output channels of an element, S = samples.
"""

from itertools import pairwise

import torch
from jaxtyping import Float, Int
from torch import Generator, Tensor, nn
from torch.nn import functional

from models.density._pixel_network import pick

SLOPE = 0.01
"""Of the leaky rectifiers, below 0."""


class Down(nn.Module):
    """Residual block that halves the size of a feature map.

    Args:
        inputs: Channels before.
        outputs: Channels after.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.block = nn.Sequential(
            nn.Conv2d(inputs, outputs, 3, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.LeakyReLU(SLOPE),
            nn.Conv2d(outputs, outputs, 3, padding=1, bias=False),
            nn.BatchNorm2d(outputs),
        )
        self.skip = nn.Sequential(
            nn.Conv2d(inputs, outputs, 1, stride=2, bias=False), nn.BatchNorm2d(outputs)
        )

    def forward(self, maps: Float[Tensor, "B I H W"]) -> Float[Tensor, "B O h w"]:
        """Return a map of half the height and width."""
        return functional.leaky_relu(self.block(maps) + self.skip(maps), SLOPE)


class Up(nn.Module):
    """Residual block that doubles the size of a feature map.

    Args:
        inputs: Channels before.
        outputs: Channels after.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.block = nn.Sequential(
            nn.ConvTranspose2d(inputs, outputs, 4, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.LeakyReLU(SLOPE),
            nn.Conv2d(outputs, outputs, 3, padding=1, bias=False),
            nn.BatchNorm2d(outputs),
        )
        self.skip = nn.Sequential(
            nn.Conv2d(inputs, outputs, 1, bias=False), nn.BatchNorm2d(outputs), nn.Upsample(None, 2)
        )

    def forward(self, maps: Float[Tensor, "B I h w"]) -> Float[Tensor, "B O H W"]:
        """Return a map of twice the height and width."""
        return functional.leaky_relu(self.block(maps) + self.skip(maps), SLOPE)


class Autoencoder(nn.Module):
    """Image to code in (0, 1), and code to image.

    Args:
        channels: Of the images.
        height: Of the images, a multiple of 4.
        width: Of the images, a multiple of 4.
        base: Channels after the first halving; twice as many after the second.
        code_dim: Elements T of a code, and units of the layer before it.
    """

    def __init__(self, channels: int, height: int, width: int, *, base: int, code_dim: int) -> None:
        super().__init__()
        small = 2 * base, height // 4, width // 4
        flat = small[0] * small[1] * small[2]
        self.encoder = nn.Sequential(
            Down(channels, base),
            Down(base, 2 * base),
            nn.Flatten(),
            nn.Linear(flat, code_dim, bias=False),
            nn.BatchNorm1d(code_dim),
            nn.LeakyReLU(SLOPE),
            nn.Linear(code_dim, code_dim),
            nn.Sigmoid(),
        )
        self.decoder = nn.Sequential(
            nn.Linear(code_dim, code_dim, bias=False),
            nn.BatchNorm1d(code_dim),
            nn.LeakyReLU(SLOPE),
            nn.Linear(code_dim, flat, bias=False),
            nn.BatchNorm1d(flat),
            nn.LeakyReLU(SLOPE),
            nn.Unflatten(1, small),
            Up(2 * base, base),
            Up(base, max(base // 2, 1)),
            nn.Conv2d(max(base // 2, 1), channels, 1, bias=False),
        )

    def forward(
        self, images: Float[Tensor, "B C H W"]
    ) -> tuple[Float[Tensor, "B T"], Float[Tensor, "B C H W"]]:
        """Code and reconstruction."""
        code = self.encoder(images)
        return code, self.decoder(code)


class MaskedLinear(nn.Module):
    """Fully connected layer between codes with several channels; each element sees earlier ones.

    Args:
        code_dim: Elements T.
        inputs: Channels I of an element.
        outputs: Channels O of an element.
        see_itself: Whether an element sees itself; never in the first layer.
    """

    mask: Tensor

    def __init__(self, code_dim: int, inputs: int, outputs: int, *, see_itself: bool) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(code_dim, outputs, code_dim, inputs))
        self.bias = nn.Parameter(torch.empty(code_dim, outputs))
        mask = torch.ones(code_dim, code_dim).tril(0 if see_itself else -1)
        self.register_buffer("mask", mask[:, None, :, None], persistent=False)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw weights so that activations keep their spread, however few inputs are seen."""
        num_seen = self.mask.sum(dim=2, keepdim=True).clamp(min=1) * self.weight.shape[3]
        with torch.no_grad():
            self.weight.normal_().mul_((2 / num_seen).sqrt())
            self.bias.zero_()

    def forward(self, codes: Float[Tensor, "B T I"]) -> Float[Tensor, "B T O"]:
        """Combine what each element sees."""
        weight = (self.weight * self.mask).flatten(2).flatten(0, 1)
        combined = functional.linear(codes.flatten(1), weight, self.bias.flatten())
        return combined.reshape(-1, *self.bias.shape)


class Estimator(nn.Module):
    """p(code) as a product over its elements, each a histogram given the elements before it.

    Args:
        code_dim: Elements T.
        width: Channels of an element in each of the four hidden layers.
        num_bins: Bins K of a histogram.
    """

    def __init__(self, code_dim: int, width: int, num_bins: int) -> None:
        super().__init__()
        self.num_bins = num_bins
        widths = (1, width, width, width, width)
        self.layers = nn.ModuleList(
            MaskedLinear(code_dim, inputs, outputs, see_itself=place > 0)
            for place, (inputs, outputs) in enumerate(pairwise(widths))
        )
        self.last = MaskedLinear(code_dim, width, num_bins, see_itself=True)

    def forward(self, codes: Float[Tensor, "B T"]) -> Float[Tensor, "B K T"]:
        """Logits of each element's bin, given the elements before it."""
        hidden = (2 * codes - 1)[..., None]
        for layer in self.layers:
            hidden = functional.leaky_relu(layer(hidden), SLOPE)
        logits: Tensor = self.last(hidden).transpose(1, 2)
        return logits

    def bins(self, codes: Float[Tensor, "B T"]) -> Int[Tensor, "B T"]:
        """Bin of each element; no gradient goes through it."""
        return (codes.detach() * self.num_bins).long().clamp(0, self.num_bins - 1)

    @torch.no_grad()
    def sample(self, num: int, draw: Generator) -> Float[Tensor, "S T"]:
        """Draw codes element by element; each lies in the middle of its bin."""
        device, (code_dim, _) = self.last.bias.device, self.last.bias.shape
        codes = torch.zeros(num, code_dim, device=device)
        for element in range(code_dim):
            logits = self(codes)[:, :, element].double().cpu()
            codes[:, element] = ((pick(logits, draw) + 0.5) / self.num_bins).float().to(device)
        return codes


class Networks(nn.Module):
    """All that is trained: surprise at codes, and squared error of reconstructions."""

    def __init__(self, autoencoder: Autoencoder, estimator: Estimator) -> None:
        super().__init__()
        self.autoencoder, self.estimator = autoencoder, estimator

    def forward(
        self, images: Float[Tensor, "B C H W"]
    ) -> tuple[Float[Tensor, "B"], Float[Tensor, "B C H W"], Float[Tensor, "B T"]]:
        """Nats of each code, squared error of each value, and the codes."""
        codes, reconstructed = self.autoencoder(images)
        codes = codes.float()
        logits = self.estimator(codes).float()
        nats = functional.cross_entropy(logits, self.estimator.bins(codes), reduction="none")
        return nats.sum(dim=1), (reconstructed.float() - images) ** 2, codes
