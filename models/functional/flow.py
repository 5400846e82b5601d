"""Optical flow: how far each pixel moved from one frame to the next.

Shapes: B = batch, H W = image.
"""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

LEVELS = (4, 2)
"""Factors by which the frames are made smaller, coarse to fine."""
SIDE = 7
"""Side of the square of pixels that are taken to move alike, at each level."""
STEPS = 2
"""Refinements at each level, each at most two of its pixels long."""
NOISE = 1e-4
"""Squared gradient, of gray levels in [0, 1], that noise alone may have; pulls flow to zero."""


def optical_flow(
    before: Float[Tensor, "B H W"], after: Float[Tensor, "B H W"]
) -> Float[Tensor, "B 2 H W"]:
    """Movement (across, down) in pixels that carries ``before`` into ``after``.

    The least-squares flow of Lucas and Kanade, coarse to fine. The finest level has half the
    resolution of the frames. Where nothing is to be seen, flow is pulled to zero.

    References:
        Lucas and Kanade, 1981, "An Iterative Image Registration Technique with an Application to
        Stereo Vision", section 4. Bouguet, 2001, "Pyramidal Implementation of the Lucas Kanade
        Feature Tracker", section 2.
    """
    flow = before.new_zeros(before.shape[0], 2, 1, 1)
    for factor in LEVELS:
        first, second = (
            functional.avg_pool2d(frame[:, None], factor, ceil_mode=True)
            for frame in (before, after)
        )
        flow = functional.interpolate(flow, size=first.shape[-2:], mode="bilinear") / factor
        for _ in range(STEPS):
            flow = flow + _step(first, _warp(second, flow))
        flow = flow * factor
    return functional.interpolate(flow, size=before.shape[-2:], mode="bilinear")


def _step(first: Float[Tensor, "B 1 h w"], second: Float[Tensor, "B 1 h w"]) -> Tensor:
    middle = functional.pad((first + second) / 2, (1, 1, 1, 1), mode="replicate")
    across = (middle[:, :, 1:-1, 2:] - middle[:, :, 1:-1, :-2]) / 2
    down = (middle[:, :, 2:, 1:-1] - middle[:, :, :-2, 1:-1]) / 2
    change = second - first
    products = torch.cat(
        [across * across, across * down, down * down, across * change, down * change], dim=1
    )
    mean = functional.avg_pool2d(products, SIDE, 1, SIDE // 2, count_include_pad=False)
    xx, xy, yy, xt, yt = mean.unbind(dim=1)
    xx, yy = xx + NOISE, yy + NOISE
    step = torch.stack([xy * yt - yy * xt, xy * xt - xx * yt], dim=1)
    return (step / (xx * yy - xy * xy)[:, None]).clamp(-2, 2)


def _warp(frame: Float[Tensor, "B 1 h w"], flow: Float[Tensor, "B 2 h w"]) -> Tensor:
    """``frame`` looked up where each pixel has moved to."""
    height, width = frame.shape[-2:]
    rows = torch.arange(height, device=frame.device, dtype=frame.dtype)[:, None]
    columns = torch.arange(width, device=frame.device, dtype=frame.dtype)
    across = (columns + flow[:, 0]) * (2 / max(width - 1, 1)) - 1
    down = (rows + flow[:, 1]) * (2 / max(height - 1, 1)) - 1
    grid = torch.stack([across, down], dim=-1)
    return functional.grid_sample(frame, grid, padding_mode="border", align_corners=True)
