"""Features that no pretext task of ours has learned: what theirs must be seen beside.

Shapes: N = images, C = channels, H W = image, D = features, h w = feature map.
"""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.decomposition import PCA
from torch import Tensor, nn
from torch.nn import functional

from benchmarks._probes import Encode
from benchmarks._sets import Batches
from models.contracts import Encoder
from models.encoders.small import SmallTrunk, pooled
from models.functional.mean_frames import mean_frames

SQUEEZENET = "squeezenet1_0_imagenet_deepcompressed.npz"
CAFFE_MEAN = (104.0, 117.0, 123.0)
"""Of ImageNet's blue, green and red, as Caffe counts them: 0 to 255."""
SQUEEZENET_SIDE = 64
"""Smaller images are enlarged to this side for features of whole images."""
NUM_COMPONENTS = 128
PATCH, STRIDE = 16, 4
NUM_PATCHES = 20_000


@dataclass(frozen=True, kw_only=True)
class Features:
    """Two views of one representation.

    Attributes:
        whole: Features of whole images, (N, D), for classifiers.
        places: Features of places, (N, D, h, w), for the detector.
    """

    whole: Encode
    places: Encode


def of_trunk(trunk: Encoder) -> Features:
    """Feature maps of a trunk, and their means."""
    trunk.eval()
    device = next(trunk.parameters()).device
    return Features(
        whole=lambda images: pooled(trunk(images.to(device))),
        places=lambda images: trunk(images.to(device)),
    )


def new_trunk(seed: int) -> SmallTrunk:
    """The trunk that every pretext task starts from."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return SmallTrunk.Config().build()


@torch.no_grad()
def random_trunk(images: Tensor, seed: int) -> SmallTrunk:
    """A trunk with random weights, whose batch normalisation has seen the training images."""
    trunk = new_trunk(seed).train()
    for layer in trunk.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.momentum = None  # the plain mean over batches
    for batch in Batches(images):
        trunk(batch)
    return trunk.eval()


def pca(images: Tensor) -> Features:
    """Principal components of pixels: of whole images, or of patches of 16 x 16."""

    @cache
    def components(*, of_patches: bool) -> PCA:
        pixels = mean_frames(next(iter(Batches(images, batch_size=len(images)))))
        rows = _random_patches(pixels) if of_patches else pixels.flatten(1).numpy()
        return PCA(min(NUM_COMPONENTS, *rows.shape), random_state=0).fit(rows)

    def whole(some: Tensor) -> Tensor:
        found = components(of_patches=False).transform(mean_frames(some).flatten(1).numpy())
        return torch.from_numpy(found)

    def places(some: Tensor) -> Tensor:
        local = components(of_patches=True)
        kernel = torch.from_numpy(local.components_).float()
        offset = kernel @ torch.from_numpy(local.mean_).float()
        kernel = kernel.reshape(-1, 3, PATCH, PATCH)
        return functional.conv2d(mean_frames(some), kernel, -offset, stride=STRIDE)

    return Features(whole=whole, places=places)


def squeezenet(weights: Path) -> Features:
    """SqueezeNet 1.0, trained on ImageNet with its labels (its Caffe weights as NumPy arrays).

    Whole images are described by the mean of its last convolution but one (fire9, D = 512), places
    by fire4 (D = 256), whose stride of 4 is that of our trunk.
    """
    with np.load(weights) as arrays:
        layers = {name: torch.from_numpy(arrays[name]).float() for name in arrays.files}

    def whole(images: Tensor) -> Tensor:
        larger = max(SQUEEZENET_SIDE / min(images.shape[-2:]), 1.0)
        enlarged = functional.interpolate(
            images, scale_factor=larger, mode="bilinear", recompute_scale_factor=False
        )
        return _squeezenet(layers, enlarged, last=9).mean(dim=(2, 3))

    return Features(whole=whole, places=lambda images: _squeezenet(layers, images, last=4))


def _squeezenet(layers: dict[str, Tensor], images: Tensor, last: int) -> Tensor:
    """Output of one of the fire modules 2 to 9."""
    mean = torch.tensor(CAFFE_MEAN)[:, None, None]
    hidden = 255 * mean_frames(images).flip(1) - mean
    hidden = _convolve(layers, "conv1", hidden, stride=2)
    for fire in range(2, last + 1):
        if fire in (2, 5, 9):
            hidden = functional.max_pool2d(hidden, 3, stride=2, ceil_mode=True)
        squeezed = _convolve(layers, f"fire{fire}/squeeze1x1", hidden)
        expanded = [_convolve(layers, f"fire{fire}/expand{k}", squeezed) for k in ("1x1", "3x3")]
        hidden = torch.cat(expanded, dim=1)
    return hidden


def _convolve(layers: dict[str, Tensor], name: str, images: Tensor, stride: int = 1) -> Tensor:
    weight, bias = layers[f"{name}.weight"], layers[f"{name}.bias"]
    padding = 1 if weight.shape[-1] == 3 else 0
    return functional.conv2d(images, weight, bias, stride=stride, padding=padding).relu()


def _random_patches(images: Tensor) -> NDArray[np.float32]:
    draw = torch.Generator().manual_seed(0)
    num, _, height, width = images.shape
    which = torch.randint(num, (NUM_PATCHES,), generator=draw).tolist()
    tops = torch.randint(height - PATCH + 1, (NUM_PATCHES,), generator=draw).tolist()
    lefts = torch.randint(width - PATCH + 1, (NUM_PATCHES,), generator=draw).tolist()
    places = zip(which, tops, lefts, strict=True)
    cut = [images[i, :, t : t + PATCH, left : left + PATCH].flatten() for i, t, left in places]
    return torch.stack(cut).numpy()
