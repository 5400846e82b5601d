"""AlexNet up to conv2, in torchvision's layout (one tower, 64 and 192 channels).

Shapes: B = batch, C = channels, H W = image, D = 192, h w = feature map (stride 8).
"""

from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from models.contracts import Encoder
from models.errors import InvalidInputError, NotFoundError
from models.functional.mean_frames import mean_frames, temporal_basis
from models.functional.receptive_field import Layer, receptive_field

WEIGHTS = "https://download.pytorch.org/models/alexnet-owt-7be5be79.pth"
GRAY_MEAN, GRAY_STD = 0.449, 0.226
"""Of ImageNet's pixels, averaged over its colours."""
COLOUR_MEAN, COLOUR_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of ImageNet's red, green and blue, which torchvision's weights were trained with."""
SMALLEST = 31


class AlexNetTrunk(Encoder):
    """conv1, ReLU, max pooling, conv2, ReLU: the part of AlexNet that Deep-Anomaly keeps.

    The names and shapes of its parameters are those of ``torchvision.models.alexnet()``:
    ``features.0`` and ``features.3``. One of its 192-dimensional vectors sees 51 x 51 pixels.

    Args:
        config: Hyper-parameters.

    References:
        Krizhevsky, 2014, "One weird trick for parallelizing convolutional neural networks".
        https://arxiv.org/abs/1404.5997. Sabokrou et al., 2018, "Deep-anomaly".
        https://arxiv.org/abs/1609.00866
    """

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """Hyper-parameters of the trunk."""

        temporal: bool = True
        """See six gray frames as mean, velocity and acceleration of their three mean frames, rather
        than as the mean frames themselves. Off for weights that were trained on colours, which then
        are normalised one by one."""
        motion_gain: float = 10.0
        """Factor of velocity and acceleration, > 0; 10 gives them about the spread of the mean."""

        def __post_init__(self) -> None:
            if self.motion_gain <= 0:
                raise InvalidInputError(f"motion_gain must be > 0, got {self.motion_gain}.")

        def build(self) -> "AlexNetTrunk":
            """Return a trunk with random weights."""
            return AlexNetTrunk(self)

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        self.features = nn.Sequential(
            nn.Conv2d(3, 64, kernel_size=11, stride=4, padding=2),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(kernel_size=3, stride=2),
            nn.Conv2d(64, 192, kernel_size=5, padding=2),
            nn.ReLU(inplace=True),
        )
        self.embedding_dim = 192
        self.receptive_field = receptive_field([Layer(11, 4, 2), Layer(3, 2), Layer(5, 1, 2)])
        for layer in self.features:
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
                nn.init.zeros_(layer.bias)  # type: ignore[arg-type]

    def forward(self, images: Float[Tensor, "B C H W"]) -> Float[Tensor, "B D h w"]:
        """Return one feature vector for each of the h x w receptive fields.

        Raises:
            InvalidInputError: If the images are too small for one, or C is not 1, 3 or 6.
        """
        if min(images.shape[-2:]) < SMALLEST:
            raise InvalidInputError(
                f"AlexNet's trunk needs images of at least {SMALLEST} x {SMALLEST} pixels, got "
                f"{images.shape[-2]} x {images.shape[-1]}. Set image_size in the recipe."
            )
        if images.shape[1] == 1:
            planes = self._gray(images)
        else:
            planes = self.features[0](self._normalise(images))
        feature_map: Tensor = self.features[1:](planes)
        return feature_map

    def _gray(self, image: Float[Tensor, "B 1 H W"]) -> Tensor:
        """What conv1 makes of three equal planes, at two thirds of the cost, or one third."""
        first = self.features[0]
        assert isinstance(first, nn.Conv2d)
        if self.config.temporal:
            planes = (image - GRAY_MEAN) / GRAY_STD
            kernels = first.weight.sum(dim=1, keepdim=True)
        else:  # colours differ by what is added: conv1's padding is 0 after it, not before
            mean, std = (_colours(values, image) for values in (COLOUR_MEAN, COLOUR_STD))
            planes = torch.cat([image, torch.ones_like(image)], dim=1)
            scaled = first.weight / std
            kernels = torch.stack([scaled.sum(dim=1), -(scaled * mean).sum(dim=1)], dim=1)
        return functional.conv2d(planes, kernels, first.bias, first.stride, first.padding)

    def _normalise(self, images: Tensor) -> Tensor:
        frames = mean_frames(images)
        if not self.config.temporal:
            return (frames - _colours(COLOUR_MEAN, frames)) / _colours(COLOUR_STD, frames)
        if images.shape[1] != 6:
            return (frames - GRAY_MEAN) / GRAY_STD
        basis = temporal_basis(frames)
        mean, motion = basis[:, :1], basis[:, 1:]
        return torch.cat([(mean - GRAY_MEAN) / GRAY_STD, motion * self.config.motion_gain], dim=1)

    def load_imagenet(self) -> "AlexNetTrunk":
        """Take the ImageNet weights of torchvision's AlexNet, downloaded once and then cached.

        Raises:
            InvalidInputError: If the trunk sees velocities: kernels of colours know none.
            NotFoundError: If they can be had neither from the network nor from the cache.
        """
        if self.config.temporal:
            raise InvalidInputError(
                "ImageNet's weights need temporal=False, got True: their kernels are of colours, "
                "and would be given velocities. Build the trunk by Config(temporal=False)."
            )
        folder = Path(torch.hub.get_dir()) / "checkpoints"
        name = WEIGHTS.rpartition("/")[2]
        try:
            found = torch.hub.load_state_dict_from_url(
                WEIGHTS, map_location="cpu", check_hash=True, weights_only=True
            )
        except (OSError, RuntimeError) as error:
            raise NotFoundError(
                f"The ImageNet weights of AlexNet must be downloaded from {WEIGHTS} or lie in "
                f"{folder}, and could not be had ({error}). Put the file {name} into that folder "
                "(TORCH_HOME chooses another), or choose --backbone pretext, which needs no "
                "download."
            ) from error
        self.load_state_dict({key: found[key] for key in self.state_dict()})
        return self


def _colours(values: tuple[float, ...], like: Tensor) -> Float[Tensor, "1 3 1 1"]:
    return torch.tensor(values, dtype=like.dtype, device=like.device)[None, :, None, None]
