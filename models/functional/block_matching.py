"""Optical flow by block matching: how far what is seen around each pixel moved between two images.

Shapes: B = batch, h w = image, y x = blocks, N = displacements that are tried, row by row.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from models.functional.windows import block_mean, num_inside, window_sum

REACH = 2, 3
"""Largest displacement down and across that is found, in pixels of the images given."""
STEP = 2
"""Pixels from one block to the next."""
AROUND = 3
"""Steps along the side of a block: blocks overlap, and flow is that of the middle step."""
RELUCTANCE = 2e-3
"""Difference of gray levels by which a displacement of one pixel must match better than none, so
that nothing moves where nothing is to be seen."""
ROWS, COLUMNS = 2 * REACH[0] + 1, 2 * REACH[1] + 1
TOGETHER = 8
"""Pairs of images that are matched at once: their costs stay in a core's cache."""


def block_flow(
    before: Float[Tensor, "B h w"], after: Float[Tensor, "B h w"], white: float = 1.0
) -> Float[Tensor, "B 2 y x"]:
    """Movement (across, down) in pixels that carries ``before`` into ``after``, at most ``REACH``.

    Every displacement is tried for the block around each square of 2 x 2 pixels, which has 6 x 6
    pixels but at the edge; the one of least mean absolute difference wins, and a parabola through
    it and its neighbours gives the fraction of a pixel. Unlike flow from gradients it makes no
    gross errors where displacements are large against the structure, which a detector of the
    fastest thing in an image would take for anomalies.

    Of images of whole numbers all costs that are compared are exact, so that engines which add in
    another order find the same displacements.

    Args:
        before: First images.
        after: Second images.
        white: Value of white in both; black is 0.

    References:
        Barjatya, 2004, "Block Matching Algorithms for Motion Estimation", section 3.1 (exhaustive
        search). Sub-pixel parabola: Shimizu and Okutomi, 2005, eq. 4,
        https://doi.org/10.1007/s11263-005-1896-y
    """
    together = TOGETHER if before.device.type == "cpu" else max(len(before), 1)
    pairs = zip(torch.split(before, together), torch.split(after, together), strict=True)
    return torch.cat([_matched(*pair, white) for pair in pairs])


def _matched(before: Tensor, after: Tensor, white: float) -> Float[Tensor, "B 2 y x"]:
    cost = _costs(before, after, white)
    least, best = _least(cost)
    row = (best / COLUMNS).floor_()
    place = torch.stack([best - COLUMNS * row, row])
    reach, step = (place.new_tensor(pair).view(2, 1, 1, 1) for pair in (REACH[::-1], (1, COLUMNS)))
    inside = (place > 0) & (place < 2 * reach)
    fraction = _fraction(cost, least, best, inside * step)
    return (place - reach + fraction).movedim(0, 1)


def _costs(before: Tensor, after: Tensor, white: float) -> Float[Tensor, "N B y x"]:
    """Absolute differences of blocks for every displacement, and the reluctance to move, added."""
    costs = window_sum(block_mean(_differences(before, after), STEP), AROUND)
    length = [
        RELUCTANCE * white * math.hypot(r - REACH[0], c - REACH[1])
        for r in range(ROWS)
        for c in range(COLUMNS)
    ]
    inside = num_inside(costs.shape[-2], costs.shape[-1], AROUND).to(costs)
    return costs.add_(costs.new_tensor(length)[:, None, None, None] * inside)


def _differences(before: Tensor, after: Tensor) -> Float[Tensor, "N B h w"]:
    """Absolute differences for every displacement.

    Both images get rows of one length, the second one's with room for the reach, so that a
    displaced image is one run through memory. A program has no views; its engine lays out memory.
    """
    rows, columns = REACH
    num, height, width = before.shape
    if torch.compiler.is_exporting():
        wide = functional.pad(after[:, None], (columns, columns, rows, rows), mode="replicate")
        moved = [
            wide[:, 0, row : row + height, column : column + width]
            for row in range(ROWS)
            for column in range(COLUMNS)
        ]
        return (torch.stack(moved) - before).abs()
    pitch = width + 2 * columns
    length = (height - 1) * pitch + width
    seen = functional.pad(after[:, None], (columns, columns, rows, rows), mode="replicate")[:, 0]
    runs = functional.pad(before, (0, 2 * columns)).view(num, height * pitch)[:, :length]
    displaced = seen.as_strided(
        (ROWS, COLUMNS, num, length), (pitch, 1, (height + 2 * rows) * pitch, 1)
    )
    found = before.new_empty(ROWS, COLUMNS, num, height * pitch)
    torch.sub(displaced, runs, out=found[..., :length]).abs_()
    return found.view(ROWS * COLUMNS, num, height, pitch)[..., :width]


def _least(costs: Float[Tensor, "N B y x"]) -> tuple[Tensor, Float[Tensor, "B y x"]]:
    """The least cost and its number, the first one of equals; ``min`` gives both, but slowly."""
    least = costs.amin(dim=0)
    numbers = torch.arange(len(costs), device=costs.device).to(costs)[:, None, None, None]
    return least, (costs - least).sign_().mul_(len(costs)).add_(numbers).amin(dim=0)


def _fraction(
    costs: Float[Tensor, "N B y x"],
    least: Float[Tensor, "B y x"],
    best: Float[Tensor, "B y x"],
    step: Float[Tensor, "2 B y x"],
) -> Float[Tensor, "2 B y x"]:
    """Where between its neighbours along both axes the least cost lies, in [-0.5, 0.5].

    Args:
        costs: Of all displacements.
        least: The least one.
        best: Its number.
        step: Displacements to the next one across and down; 0 at the end of the reach, where the
            fraction is 0.
    """
    neighbours = costs.gather(0, torch.cat([best - step, best + step]).long())
    one, other = neighbours.view(2, *step.shape)
    curvature = one - 2 * least + other
    fraction: Tensor = torch.where(curvature > 0, (one - other) / (2 * curvature), 0)
    return fraction.clamp_(-0.5, 0.5)
