"""Optical flow by block matching: how far what is seen around each pixel moved between two images.

Shapes: B = batch, h w = image, R C = rows and columns of displacements that are tried.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

from models.functional.windows import window_mean

REACH = 2, 3
"""Largest displacement down and across that is found, in pixels of the images given."""
SIDE = 7
"""Side in pixels of the blocks that are compared."""
RELUCTANCE = 2e-3
"""Difference of gray levels by which a displacement of one pixel must match better than none, so
that nothing moves where nothing is to be seen."""


def block_flow(
    before: Float[Tensor, "B h w"], after: Float[Tensor, "B h w"]
) -> Float[Tensor, "B 2 h w"]:
    """Movement (across, down) in pixels that carries ``before`` into ``after``, at most ``REACH``.

    Every displacement is tried for the block around each pixel; the one of least mean absolute
    difference wins, and a parabola through it and its neighbours gives the fraction of a pixel.
    Unlike flow from gradients it makes no gross errors where displacements are large against the
    structure, which a detector of the fastest thing in an image would take for anomalies.

    References:
        Barjatya, 2004, "Block Matching Algorithms for Motion Estimation", section 3.1 (exhaustive
        search). Sub-pixel parabola: Shimizu and Okutomi, 2005, eq. 4,
        https://doi.org/10.1007/s11263-005-1896-y
    """
    cost = _costs(before, after)
    size, columns = cost.shape[:-2], cost.shape[-1]
    flat = cost.flatten(start_dim=-2)
    best = flat.argmin(dim=-1)
    row, column = best // columns, best % columns
    across = column - REACH[1] + _fraction(flat, best, column, columns, 1)
    down = row - REACH[0] + _fraction(flat, best, row, 2 * REACH[0] + 1, columns)
    return torch.stack([across, down], dim=1).view(size[0], 2, *size[1:])


def _costs(before: Tensor, after: Tensor) -> Float[Tensor, "B h w R C"]:
    """Mean absolute difference of blocks for every displacement, and the reluctance to move."""
    rows, columns = REACH
    seen = functional.pad(after[:, None], (columns, columns, rows, rows), mode="replicate")[:, 0]
    tried = seen.unfold(1, 2 * rows + 1, 1).unfold(2, 2 * columns + 1, 1)
    difference = (tried - before[..., None, None]).abs()
    flat = difference.permute(0, 3, 4, 1, 2).flatten(1, 2)
    mean = window_mean(flat, SIDE).view(len(before), *difference.shape[-2:], *before.shape[1:])
    down = torch.arange(-rows, rows + 1, device=before.device)
    across = torch.arange(-columns, columns + 1, device=before.device)
    length = torch.hypot(down[:, None].to(before), across.to(before))
    costs: Tensor = mean.permute(0, 3, 4, 1, 2) + RELUCTANCE * length
    return costs


def _fraction(
    costs: Float[Tensor, "B h w N"],
    best: Int[Tensor, "B h w"],
    place: Int[Tensor, "B h w"],
    num: int,
    step: int,
) -> Float[Tensor, "B h w"]:
    """Where between its neighbours the least cost lies, in [-0.5, 0.5]; 0 at the end of the reach.

    Args:
        costs: Of all displacements.
        best: The least one.
        place: Its number along the axis in question, of ``num``.
        num: Displacements along that axis.
        step: Displacements from one to the next along that axis.
    """
    inside = (place > 0) & (place < num - 1)
    least, one, other = (
        costs.gather(-1, (best + inside * offset)[..., None])[..., 0] for offset in (0, -step, step)
    )
    curvature = one - 2 * least + other
    fraction: Tensor = torch.where(curvature > 0, (one - other) / (2 * curvature), 0)
    return fraction.clamp(-0.5, 0.5)
