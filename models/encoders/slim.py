"""A slim trunk for frames of a camera: about a fifteenth of the work of AlexNet's conv1 and conv2.

Shapes: B = batch, C = channels, H W = image, D = embedding width, h w = feature map (stride 8).
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from models.contracts import WINDOW, Encoder
from models.errors import InvalidInputError
from models.functional.mean_frames import mean_frames, temporal_basis
from models.functional.receptive_field import Layer, receptive_field

SMALLEST = 8


class SlimTrunk(Encoder):
    """Three convolutions with ReLU, of 5, 3 and 3 pixels at strides 4, 2 and 1.

    Its vectors see 29 x 29 pixels, 8 apart. Like ``AlexNetTrunk`` it sees six gray frames as mean,
    velocity and acceleration of their mean frames.

    Args:
        config: Hyper-parameters.
    """

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """Hyper-parameters of the trunk."""

        width: int = 24
        """Channels of the first layer, >= 1; the others have twice as many."""
        motion_gain: float = 10.0
        """Factor of velocity and acceleration, > 0; 10 gives them about the spread of the mean."""

        def __post_init__(self) -> None:
            if self.width < 1 or self.motion_gain <= 0:
                raise InvalidInputError(
                    f"width must be >= 1 and motion_gain > 0, got {self.width} and "
                    f"{self.motion_gain}."
                )

        def build(self) -> "SlimTrunk":
            """Return a trunk with random weights."""
            return SlimTrunk(self)

    basis: Tensor

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        width = config.width
        self.embedding_dim = 2 * width
        self.receptive_field = receptive_field([Layer(5, 4, 2), Layer(3, 2, 1), Layer(3, 1, 1)])
        gains = torch.tensor([2, config.motion_gain, config.motion_gain])
        basis = temporal_basis(torch.eye(3)[:, :, None, None])[..., 0, 0] * gains
        self.register_buffer("basis", basis, persistent=False)
        self.first = nn.Conv2d(3, width, kernel_size=5, stride=4, padding=2)
        self.rest = nn.Sequential(
            nn.ReLU(inplace=True),
            nn.Conv2d(width, 2 * width, kernel_size=3, stride=2, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(2 * width, 2 * width, kernel_size=3, padding=1),
            nn.ReLU(inplace=True),
        )
        for layer in (self.first, *self.rest):
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
                nn.init.zeros_(layer.bias)  # type: ignore[arg-type]

    def forward(self, images: Float[Tensor, "B C H W"]) -> Float[Tensor, "B D h w"]:
        """Return one feature vector for each of the h x w receptive fields.

        Raises:
            InvalidInputError: If the images are too small, or C is not 1, 3 or 6.
        """
        if min(images.shape[-2:]) < SMALLEST:
            raise InvalidInputError(
                f"The slim trunk needs images of at least {SMALLEST} x {SMALLEST} pixels, got "
                f"{images.shape[-2]} x {images.shape[-1]}. Set image_size in the recipe."
            )
        frames = mean_frames(images, black=0.5).contiguous()
        weight = self._first_weight(images).contiguous()
        feature_map = functional.conv2d(frames, weight, self.first.bias, stride=4, padding=2)
        found: Tensor = self.rest(feature_map.contiguous(memory_format=torch.channels_last))
        return found

    def _first_weight(self, images: Tensor) -> Float[Tensor, "K 3 5 5"]:
        """The first layer's weights, which take over the change of basis of the frames."""
        weight = self.first.weight
        if images.shape[1] != WINDOW:
            return 2 * weight
        return torch.matmul(self.basis, weight.flatten(2)).view(weight.shape)
