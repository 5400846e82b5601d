"""LeNet as Caffe draws it, without its last layer: the network of the digit benchmarks.

Shapes: B = batch, C = channels, H W = image, D = 500, h w = feature map (1 x 1 for 28 x 28 pixels).
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from models.contracts import Encoder
from models.errors import InvalidInputError
from models.functional.receptive_field import Layer, receptive_field

SMALLEST = 28


class LeNet(Encoder):
    """Two convolutions of 5 x 5 (20 and 50 channels), each with 2 x 2 max pooling, and ``fc 500``.

    The fully connected layer is written as a convolution of 4 x 4, which is the same on images of
    28 x 28 pixels and makes a map of larger ones. ReLU follows every layer with weights; there is
    neither dropout nor batch normalisation.

    Args:
        config: Hyper-parameters.

    References:
        Tzeng, Hoffman, Saenko and Darrell, 2017, "Adversarial Discriminative Domain Adaptation",
        section 5.1. https://arxiv.org/abs/1702.05464
    """

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """Hyper-parameters of the encoder."""

        channels: int = 1
        """Channels of the images, >= 1."""
        embedding_dim: int = 500
        """Width of the last layer, >= 1."""

        def __post_init__(self) -> None:
            for name in ("channels", "embedding_dim"):
                if getattr(self, name) < 1:
                    raise InvalidInputError(f"{name} must be >= 1, got {getattr(self, name)}.")

        def build(self) -> "LeNet":
            """Return an encoder with random weights."""
            return LeNet(self)

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        self.embedding_dim = config.embedding_dim
        self.receptive_field = receptive_field(
            [Layer(5, 1), Layer(2, 2), Layer(5, 1), Layer(2, 2), Layer(4, 1)]
        )
        self.features = nn.Sequential(
            nn.Conv2d(config.channels, 20, kernel_size=5),
            nn.MaxPool2d(2),  # before ReLU it gives the same, of a quarter as many numbers
            nn.ReLU(inplace=True),
            nn.Conv2d(20, 50, kernel_size=5),
            nn.MaxPool2d(2),
            nn.ReLU(inplace=True),
        )
        self.fc = nn.Conv2d(50, config.embedding_dim, kernel_size=4)
        for layer in (*self.features, self.fc):
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
                nn.init.zeros_(layer.bias)  # type: ignore[arg-type]

    def forward(self, images: Float[Tensor, "B C H W"]) -> Float[Tensor, "B D h w"]:
        """Return one feature vector for each of the h x w receptive fields.

        Raises:
            InvalidInputError: If the images are too small, or have another number of channels.
        """
        channels = self.config.channels
        if images.shape[1] != channels or min(images.shape[-2:]) < SMALLEST:
            raise InvalidInputError(
                f"LeNet needs images with {channels} channels of at least {SMALLEST} x {SMALLEST} "
                f"pixels, got {images.shape[1]} of {images.shape[-2]} x {images.shape[-1]}. Set "
                "channels of LeNet.Config, and image_size, in the recipe."
            )
        hidden = self.features(images.to(memory_format=torch.channels_last))
        if hidden.shape[-2:] == self.fc.kernel_size:  # a matrix product, eight times as fast
            product: Tensor = functional.linear(
                hidden.flatten(start_dim=1), self.fc.weight.flatten(start_dim=1), self.fc.bias
            )
            return product.relu()[:, :, None, None]
        feature_map: Tensor = self.fc(hidden)
        return feature_map.relu()
